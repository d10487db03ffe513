#ifndef FINETUNE_COMM_SINGLE_COMMUNICATOR_H_
#define FINETUNE_COMM_SINGLE_COMMUNICATOR_H_

#include <memory>
#include <string>
#include <vector>

#include "src/comm/communicator.h"

namespace finetune {

// The communicator of a job of one rank. Every collective leaves its data as they are and ends at
// once.
class SingleCommunicator : public Communicator {
 public:
  // `device`: the number of the GPU that the model is computed on, or -1 for the CPU.
  explicit SingleCommunicator(int device = -1);

  using Communicator::AllReduceSum;
  const World& world() const override { return world_; }
  int device() const override { return device_; }
  absl::StatusOr<at::Tensor> AllocateBuffer(int64_t numel) override;
  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor, Wire wire) override;
  absl::Status AllReduceSum(absl::Span<double> /*values*/) override { return absl::OkStatus(); }
  absl::Status Broadcast(const at::Tensor& /*tensor*/, int /*root*/) override {
    return absl::OkStatus();
  }
  absl::Status Broadcast(std::string& /*bytes*/, int /*root*/) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view bytes) override {
    return std::vector<std::string>{std::string(bytes)};
  }
  absl::Status Barrier() override { return absl::OkStatus(); }
  void SetWarn(std::function<void(absl::string_view)> /*warn*/) override {}
  void SetActivity(absl::string_view /*activity*/) override {}
  [[noreturn]] void Abort(absl::string_view reason) override;

 private:
  const int device_;
  World world_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_SINGLE_COMMUNICATOR_H_
