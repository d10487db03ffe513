#ifndef FINETUNE_TESTS_STAGED_COMMUNICATOR_H_
#define FINETUNE_TESTS_STAGED_COMMUNICATOR_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/comm/communicator.h"

namespace finetune {

// Lets several ranks share GPU 0, which NCCL does not allow. Copies GPU tensors to the CPU's memory
// and back, and calls another communicator on the copies. Every collective has ended when the call
// returns. It is slow; it is for tests of the code that uses collectives.
class StagedCommunicator : public Communicator {
 public:
  // `inner`: the communicator for CPU memory.
  explicit StagedCommunicator(std::unique_ptr<Communicator> inner) : inner_(std::move(inner)) {}

  using Communicator::AllReduceSum;
  const World& world() const override { return inner_->world(); }
  int device() const override { return 0; }
  absl::StatusOr<at::Tensor> AllocateBuffer(int64_t numel) override;
  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor, Wire wire) override;
  absl::Status AllReduceSum(absl::Span<double> values) override {
    return inner_->AllReduceSum(values);
  }
  absl::Status Broadcast(const at::Tensor& tensor, int root) override;
  absl::Status Broadcast(std::string& bytes, int root) override {
    return inner_->Broadcast(bytes, root);
  }
  absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view bytes) override {
    return inner_->AllGather(bytes);
  }
  absl::Status Barrier() override { return inner_->Barrier(); }
  void SetWarn(std::function<void(absl::string_view)> warn) override {
    inner_->SetWarn(std::move(warn));
  }
  void SetActivity(absl::string_view activity) override { inner_->SetActivity(activity); }
  [[noreturn]] void Abort(absl::string_view reason) override;

 private:
  const std::unique_ptr<Communicator> inner_;
};

}  // namespace finetune

#endif  // FINETUNE_TESTS_STAGED_COMMUNICATOR_H_
