#ifndef FINETUNE_COMM_COMMUNICATOR_H_
#define FINETUNE_COMM_COMMUNICATOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "src/comm/wire.h"

namespace at {
class Tensor;
}  // namespace at

namespace finetune {

// Who takes part in a job.
struct World {
  int rank = 0;
  int size = 1;
  // Of the ranks on this rank's host.
  int local_rank = 0;
  int local_size = 1;
  // hosts[r] is the host of rank r.
  std::vector<std::string> hosts = {"localhost"};
};

// One collective operation as a rank saw it, for traces and benchmarks.
struct CollectiveEvent {
  const char* name;  // "all-reduce", ...; static
  int64_t bytes;
  absl::Time submitted;
  absl::Time began;
  absl::Time ended;
  // The GPU whose memory it worked on, or -1: the CPU's.
  int device = -1;
};

// What a communicator tells its owner, from threads of its own: one for what is on the CPU, one for
// the GPU.
struct CommObserver {
  // Each operation after its end; a GPU's some time later. Unset: nothing.
  std::function<void(const CollectiveEvent&)> event;
};

// Collective operations between the ranks of a job. Every rank calls the same operations in the
// same order, from one thread at a time; an operation that a rank does not come to is what the
// watchdog reports. After an error the communicator can only Abort(). Destroy it before the
// MpiSession ends.
class Communicator {
 public:
  // An operation that goes on while the caller computes.
  class Work {
   public:
    virtual ~Work() = default;
    // Returns when the result is there (CUDA: when what the current stream does next comes after
    // it).
    virtual absl::Status Wait() = 0;
  };

  virtual ~Communicator() = default;

  virtual const World& world() const = 0;
  int rank() const { return world().rank; }
  int size() const { return world().size; }
  int local_rank() const { return world().local_rank; }
  int local_size() const { return world().local_size; }
  const std::string& host(int rank) const { return world().hosts[rank]; }

  // The GPU that this rank works on, or -1: the CPU.
  virtual int device() const { return -1; }

  // Memory whose all-reduce is the fastest this communicator has: a zeroed float32 tensor [numel],
  // shared between the ranks of a host where all are on one. Collective; numel must be the same on
  // every rank.
  virtual absl::StatusOr<at::Tensor> AllocateBuffer(int64_t numel) = 0;

  // Starts to sum `tensor` over all ranks, element by element and in place; it must not be touched
  // before Wait(). `tensor`: float32, contiguous, the same number of elements on every rank (0 is
  // fine). It travels as `wire`; sums are made in float32. The result is the same bits on every
  // rank and in every run with as many ranks.
  virtual absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor,
                                                             Wire wire) = 0;
  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor) {
    return AllReduceSum(tensor, Wire::kFloat32);
  }

  // Sums a few numbers over all ranks, in the order of the ranks, in place.
  virtual absl::Status AllReduceSum(absl::Span<double> values) = 0;

  // Makes `tensor` what it is on rank `root`. Dense (any strides), the same type and shape on every
  // rank.
  virtual absl::Status Broadcast(const at::Tensor& tensor, int root) = 0;
  // Makes `bytes` what it is on rank `root`.
  virtual absl::Status Broadcast(std::string& bytes, int root) = 0;

  // Every rank's `bytes`, by rank. Errors: ResourceExhausted when they make over 2 GiB together.
  virtual absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view bytes) = 0;

  // Returns when every rank has called it.
  virtual absl::Status Barrier() = 0;

  // Has stalls told to `warn`, in one or more lines, from a thread of the communicator's; null: to
  // stderr, as from the start. When it returns, what was set before is not called any more.
  virtual void SetWarn(std::function<void(absl::string_view)> warn) = 0;

  // Says what this rank is doing ("epoch 2 iteration 40: loading data"), for the watchdog's
  // messages. Cheap.
  virtual void SetActivity(absl::string_view activity) = 0;

  // Prints "rank 3 (host x): reason" and ends all ranks, soon, with a non-zero exit. From any
  // thread.
  [[noreturn]] virtual void Abort(absl::string_view reason) = 0;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_COMMUNICATOR_H_
