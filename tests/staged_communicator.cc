#include "tests/staged_communicator.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>

#include <cstdlib>

#include "src/base/status_macros.h"

namespace finetune {

absl::StatusOr<at::Tensor> StagedCommunicator::AllocateBuffer(int64_t numel) {
  return at::zeros({numel}, at::TensorOptions(at::kFloat).device(at::kCUDA, device()));
}

absl::StatusOr<std::unique_ptr<Communicator::Work>> StagedCommunicator::AllReduceSum(
    const at::Tensor& tensor, Wire wire) {
  if (tensor.is_cpu()) return inner_->AllReduceSum(tensor, wire);
  const at::Tensor staged = tensor.to(at::kCPU);
  FT_ASSIGN_OR_RETURN(std::unique_ptr<Work> work, inner_->AllReduceSum(staged, wire));
  FT_RETURN_IF_ERROR(work->Wait());
  tensor.copy_(staged);
  return std::make_unique<Finished>();
}

absl::Status StagedCommunicator::Broadcast(const at::Tensor& tensor, int root) {
  if (tensor.is_cpu()) return inner_->Broadcast(tensor, root);
  const at::Tensor staged = tensor.to(at::kCPU);
  FT_RETURN_IF_ERROR(inner_->Broadcast(staged, root));
  tensor.copy_(staged);
  return absl::OkStatus();
}

void StagedCommunicator::Abort(absl::string_view reason) {
  inner_->Abort(reason);
  // The compiler cannot know that the called virtual function does not return.
  std::abort();
}

}  // namespace finetune
