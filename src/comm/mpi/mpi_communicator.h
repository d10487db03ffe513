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

// Collectives over MPI for tensors in the CPU's memory. A thread of its own makes all MPI calls, so
// that an all-reduce runs while the caller computes. In between it sends the watchdog's heartbeats.
//
// comm.mpi.algorithm chooses how tensors are summed. Where all ranks are on one host they add in
// shared memory, and tensors of AllocateBuffer() need no copy. Else they add in a ring. Both add in
// the same order, so runs on one host and on several hosts give the same bits. MPI_CHOICE calls
// MPI_Iallreduce, whose order is its own.
class MpiCommunicator : public Communicator {
 public:
  // Collective. `session` must be active and outlive it. Errors: InvalidArgument when
  // comm.mpi.algorithm asks for memory that the ranks cannot share.
  static absl::StatusOr<std::unique_ptr<MpiCommunicator>> Create(const MpiSession& session,
                                                                 const CommConfig& config,
                                                                 CommObserver observer);
  // Waits for the other ranks, unless an operation failed.
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

  // Watches over this communicator's operations, and over those of a communicator on top of it that
  // counts its operations there. Lives as long as this object.
  Watchdog* watchdog();

 private:
  class Engine;
  explicit MpiCommunicator(std::unique_ptr<Engine> engine);

  std::unique_ptr<Engine> engine_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_COMMUNICATOR_H_
