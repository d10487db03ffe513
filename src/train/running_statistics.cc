#include "src/train/running_statistics.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <utility>

namespace finetune {

absl::StatusOr<std::unique_ptr<RunningStatistics>> RunningStatistics::Create(
    const TensorList& buffers, bool averages, Communicator* comm) {
  std::unique_ptr<RunningStatistics> made(new RunningStatistics(averages, comm));
  int64_t count = 0;
  for (const NamedTensor& buffer : buffers) {
    if (buffer.tensor.is_floating_point()) count += buffer.tensor.numel();
  }
  if (count == 0) return made;
  const at::NoGradGuard no_grad;
  made->values_ = at::empty(
      {count}, at::TensorOptions().dtype(at::kFloat).device(buffers.front().tensor.device()));
  int64_t offset = 0;
  for (const NamedTensor& buffer : buffers) {
    if (!buffer.tensor.is_floating_point()) continue;
    at::Tensor tensor = buffer.tensor;
    const at::Tensor place = made->values_.narrow(0, offset, tensor.numel()).view(tensor.sizes());
    place.copy_(tensor);
    tensor.set_data(place);
    offset += tensor.numel();
  }
  return made;
}

void RunningStatistics::Start() {
  if (comm_.size() == 1 || size() == 0) return;
  values_.div_(comm_.size());
  work_ = comm_.AllReduceSum(values_);
}

absl::Status RunningStatistics::Finish() {
  FT_RETURN_IF_ERROR(work_.status());
  const std::unique_ptr<Communicator::Work> work = std::exchange(*work_, nullptr);
  return work == nullptr ? absl::OkStatus() : work->Wait();
}

}  // namespace finetune
