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

// The ranks of a job, as one of them sees it.
struct World {
  int rank = 0;
  int size = 1;
  // This rank's number among the ranks on its host, and the number of those ranks.
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
  // The GPU whose memory the operation worked on, or -1 for the CPU.
  int device = -1;
};

// Functions that a communicator calls, on threads of its own: one thread for operations on the CPU,
// one for the GPU.
struct CommObserver {
  // Called after the end of each operation; for a GPU some time later. Unset: not called.
  std::function<void(const CollectiveEvent&)> event;
};

// Collective operations between the ranks of a job. Every rank calls the same operations in the
// same order, from one thread at a time. The watchdog reports a rank that does not come to an
// operation. After an error only Abort() may be called. Destroy the communicator before the
// MpiSession ends.
class Communicator {
 public:
  // An operation that runs while the caller computes.
  class Work {
   public:
    virtual ~Work() = default;
    // Returns when the result is there. With CUDA it returns at once, and the current stream's
    // later work waits for the result.
    virtual absl::Status Wait() = 0;
  };
  // Work whose result is there from the start.
  class Finished : public Work {
   public:
    absl::Status Wait() override { return absl::OkStatus(); }
  };

  virtual ~Communicator() = default;

  virtual const World& world() const = 0;
  int rank() const { return world().rank; }
  int size() const { return world().size; }
  int local_rank() const { return world().local_rank; }
  int local_size() const { return world().local_size; }
  const std::string& host(int rank) const { return world().hosts[rank]; }

  // The GPU that this rank works on, or -1 for the CPU.
  virtual int device() const { return -1; }

  // Returns memory whose all-reduce is this communicator's fastest: a zeroed float32 tensor
  // [numel], which the ranks share where all are on one host. Collective; numel must be the same on
  // every rank.
  virtual absl::StatusOr<at::Tensor> AllocateBuffer(int64_t numel) = 0;

  // Starts to sum `tensor` over all ranks, element by element and in place. It must not be touched
  // before Wait(). `tensor`: float32, contiguous, the same number of elements on every rank (0 is
  // allowed). It travels as `wire`; sums are made in float32. The result has the same bits on every
  // rank, and in every run with as many ranks.
  virtual absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor,
                                                             Wire wire) = 0;
  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor) {
    return AllReduceSum(tensor, Wire::kFloat32);
  }

  // Sums a few numbers over all ranks in place, in the order of the ranks.
  virtual absl::Status AllReduceSum(absl::Span<double> values) = 0;

  // Copies `tensor` of rank `root` to all ranks. Dense (any strides), the same type and shape on
  // every rank.
  virtual absl::Status Broadcast(const at::Tensor& tensor, int root) = 0;
  // Copies `bytes` of rank `root` to all ranks.
  virtual absl::Status Broadcast(std::string& bytes, int root) = 0;

  // Returns every rank's `bytes`, by rank. Errors: ResourceExhausted when they are over 2 GiB
  // together.
  virtual absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view bytes) = 0;

  // Returns when every rank has called Barrier().
  virtual absl::Status Barrier() = 0;

  // Has stalls reported to `warn`, in one or more lines, from a thread of the communicator. Null:
  // to stderr, as at the start. After it returns, the earlier `warn` is no longer called.
  virtual void SetWarn(std::function<void(absl::string_view)> warn) = 0;

  // Tells this rank's activity ("epoch 2 iteration 40: loading data") to the watchdog, for its
  // messages. Cheap.
  virtual void SetActivity(absl::string_view activity) = 0;

  // Prints "rank 3 (host x): reason" and soon ends all ranks with a non-zero exit. Thread-safe.
  [[noreturn]] virtual void Abort(absl::string_view reason) = 0;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_COMMUNICATOR_H_
