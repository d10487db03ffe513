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

// The ranks (MPI processes) of a job, as one of them sees the job. Ranks are numbered from 0.
struct World {
  int rank = 0;
  int size = 1;
  // local_rank: this rank's number (from 0) among the ranks on its host. local_size: the number of
  // ranks on its host.
  int local_rank = 0;
  int local_size = 1;
  // hosts[r] is the name of the host that rank r runs on.
  std::vector<std::string> hosts = {"localhost"};
};

// One collective operation with the times that one rank measured, for traces and benchmarks.
struct CollectiveEvent {
  const char* name;  // such as "all-reduce"; a string literal
  int64_t bytes;
  absl::Time submitted;
  absl::Time began;
  absl::Time ended;
  // The number of the GPU that the operation's tensor is on, or -1 for a tensor in the CPU's
  // memory.
  int device = -1;
};

// The functions through which a communicator reports its operations. The communicator calls them on
// threads of its own: on one thread for tensors in the CPU's memory, on another for tensors on the
// GPU.
struct CommObserver {
  // Called after each operation has ended: at once on the CPU, some milliseconds later on a GPU.
  // May be left unset.
  std::function<void(const CollectiveEvent&)> event;
};

// Collective operations between the ranks of a job. "Collective" on a function means that every
// rank must call it. Every rank calls the same operations in the same order, from one thread at a
// time. The watchdog reports a rank that does not call an operation which the other ranks have
// called. After an error only Abort() may be called. The communicator must be destroyed before the
// MpiSession ends.
class Communicator {
 public:
  // An operation that has been started and runs while the caller computes.
  class Work {
   public:
    virtual ~Work() = default;
    // Blocks until the operation has ended and its result can be read. For a tensor on a GPU it
    // returns at once, and the later work of the current CUDA stream waits for the result.
    virtual absl::Status Wait() = 0;
  };
  // An operation that had already ended when it was returned.
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

  // The number of the GPU that this rank computes on, or -1 for the CPU.
  virtual int device() const { return -1; }

  // Returns a zeroed float32 tensor [numel] in the memory that this communicator can all-reduce
  // fastest. Over MPI with all ranks on one host this is memory that all ranks map. Collective.
  // `numel` must be the same on every rank.
  virtual absl::StatusOr<at::Tensor> AllocateBuffer(int64_t numel) = 0;

  // Starts to sum `tensor` over all ranks, element by element and in place. The caller must neither
  // read nor write `tensor` before Work::Wait() has returned. `tensor`: float32, contiguous, the
  // same number of elements on every rank (0 is allowed). Numbers are sent as `wire`. Over MPI they
  // are added in float32, over NCCL in the type of `wire`. The result has the same bits on every
  // rank. Over MPI (except with MPI_CHOICE) it also has the same bits in every run with the same
  // number of ranks on the same hosts.
  virtual absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor,
                                                             Wire wire) = 0;
  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor) {
    return AllReduceSum(tensor, Wire::kFloat32);
  }

  // Sums each of `values` over all ranks in place. Rank 0's number comes first in the sum, then
  // rank 1's, and so on. Collective.
  virtual absl::Status AllReduceSum(absl::Span<double> values) = 0;

  // Copies `tensor` of rank `root` into `tensor` of all other ranks. `tensor` must be dense and
  // have the same type, shape and strides on every rank. Collective.
  virtual absl::Status Broadcast(const at::Tensor& tensor, int root) = 0;
  // Copies `bytes` of rank `root` into `bytes` of all other ranks, whose size changes to fit.
  // Collective.
  virtual absl::Status Broadcast(std::string& bytes, int root) = 0;

  // Returns the `bytes` of all ranks: element r is rank r's. Their lengths may differ. Collective.
  // Errors: ResourceExhausted when all ranks' bytes together are 2 GiB or more.
  virtual absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view bytes) = 0;

  // Returns when every rank has called Barrier(). Collective.
  virtual absl::Status Barrier() = 0;

  // Makes the watchdog report stalls by calling `warn` with a text of one or more lines, on a
  // thread of the communicator. If `warn` is null or SetWarn() was never called, it prints them to
  // stderr. When SetWarn() returns, the earlier `warn` is no longer called.
  virtual void SetWarn(std::function<void(absl::string_view)> warn) = 0;

  // Tells the watchdog what this rank is doing ("epoch 2 iteration 40: loading data"). The
  // watchdog's messages quote it. It sends nothing, so it may be called in every iteration.
  virtual void SetActivity(absl::string_view activity) = 0;

  // Prints "rank 3 (host x): reason" to stderr, then ends all ranks with a non-zero exit code,
  // within seconds where all hosts can be reached. Thread-safe.
  [[noreturn]] virtual void Abort(absl::string_view reason) = 0;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_COMMUNICATOR_H_
