#ifndef FINETUNE_COMM_MPI_MPI_COMMUNICATOR_H_
#define FINETUNE_COMM_MPI_MPI_COMMUNICATOR_H_

#include <memory>
#include <string>
#include <vector>

#include "src/comm/communicator.h"
#include "src/comm/mpi/mpi_session.h"
#include "src/comm/watchdog/watchdog.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// Collectives over MPI for tensors in the CPU's memory. The communicator has a thread that makes
// all MPI calls, so that an all-reduce runs while the caller computes. The same thread sends and
// receives the watchdog's heartbeats.
//
// comm.mpi.algorithm chooses how tensors are summed. With AUTO, ranks that are all on one host add
// in shared memory; tensors of AllocateBuffer() then need no copy. Ranks on several hosts add in a
// ring. Both add in the same order, so with float32 on the wire a run on one host and a run of as
// many ranks on several hosts give the same bits. (Shared memory ignores `wire`; a ring rounds to
// it.) MPI_CHOICE calls MPI_Iallreduce, and MPI chooses the order.
class MpiCommunicator : public Communicator {
 public:
  // Collective. `session` must be active and outlive the communicator. Errors: InvalidArgument when
  // comm.mpi.algorithm is SHARED_MEMORY and the ranks cannot share memory; FailedPrecondition when
  // `session` is not active; Unavailable when an MPI function fails.
  static absl::StatusOr<std::unique_ptr<MpiCommunicator>> Create(const MpiSession& session,
                                                                 const CommConfig& config,
                                                                 CommObserver observer);
  // Collective. Waits until every rank destroys its communicator, unless an operation has failed.
  ~MpiCommunicator() override;

  using Communicator::AllReduceSum;
  const World& world() const override;
  absl::StatusOr<at::Tensor> AllocateBuffer(int64_t numel) override;
  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor, Wire wire) override;
  absl::Status AllReduceSum(absl::Span<double> values) override;
  absl::Status Broadcast(const at::Tensor& tensor, int root) override;
  absl::Status Broadcast(std::string& bytes, int root) override;
  absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view bytes) override;
  absl::Status Barrier() override;
  void SetWarn(std::function<void(absl::string_view)> warn) override;
  void SetActivity(absl::string_view activity) override;
  [[noreturn]] void Abort(absl::string_view reason) override;

  // Returns the watchdog of this communicator, which lives as long as this object. NcclCommunicator
  // counts its own operations in it too.
  Watchdog* watchdog();

 private:
  class Engine;
  explicit MpiCommunicator(std::unique_ptr<Engine> engine);

  std::unique_ptr<Engine> engine_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_COMMUNICATOR_H_
