#ifndef FINETUNE_COMM_NCCL_NCCL_COMMUNICATOR_H_
#define FINETUNE_COMM_NCCL_NCCL_COMMUNICATOR_H_

#include <memory>
#include <string>
#include <vector>

#include "src/comm/communicator.h"
#include "src/comm/watchdog/watchdog.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// Collectives over NCCL for tensors on GPUs, with one GPU for each rank. Strings, numbers and CPU
// tensors are passed on to the communicator `host`. NCCL's work runs on a CUDA stream of its own.
// An all-reduce begins when the work that the current stream had before the call has ended. After
// Work::Wait() the current stream's later work begins when the all-reduce has ended. The CPU blocks
// for neither. A thread checks for NCCL's asynchronous errors and ends the job with the error's
// message.
class NcclCommunicator : public Communicator {
 public:
  // Collective. Chooses this rank's GPU and makes it the calling thread's current device. `host`: a
  // communicator of the same ranks for the CPU's memory. `watchdog`: also counts NCCL's operations;
  // it must live as long as `host`. `observer`: is called for NCCL's operations only. Errors:
  // FailedPrecondition when a host has more ranks than GPUs; Unavailable with the message of NCCL
  // or CUDA.
  static absl::StatusOr<std::unique_ptr<NcclCommunicator>> Create(
      std::unique_ptr<Communicator> host, Watchdog* watchdog, const CommConfig& config,
      CommObserver observer);
  ~NcclCommunicator() override;

  using Communicator::AllReduceSum;
  const World& world() const override;
  int device() const override;
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

 private:
  class Engine;
  explicit NcclCommunicator(std::unique_ptr<Engine> engine);

  std::unique_ptr<Engine> engine_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_NCCL_NCCL_COMMUNICATOR_H_
