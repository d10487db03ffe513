#ifndef FINETUNE_COMM_NCCL_NCCL_COMMUNICATOR_H_
#define FINETUNE_COMM_NCCL_NCCL_COMMUNICATOR_H_

#include <memory>
#include <string>
#include <vector>

#include "src/comm/communicator.h"
#include "src/comm/watchdog/watchdog.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// Collectives over NCCL for tensors in the memory of GPUs, one GPU a rank. Strings, numbers and CPU
// tensors go over the communicator that it is given. NCCL works on a stream of its own: an
// all-reduce begins after the current stream's earlier work, and the current stream's work after
// Wait() begins after the all-reduce. The CPU waits for neither. A thread watches for NCCL's
// asynchronous errors and ends the job with their reason.
class NcclCommunicator : public Communicator {
 public:
  // Collective. Chooses this rank's GPU and makes it the calling thread's current one. `host`:
  // works on the CPU's memory. `watchdog` counts NCCL's operations as well; it must live as long as
  // `host`. `observer` gets only NCCL's operations. Errors: FailedPrecondition when a host has more
  // ranks than GPUs; Unavailable with NCCL's own message.
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
