#include "src/train/timed_step.h"

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include <numeric>

namespace finetune {

Batch RandomBatch(const RandomImages& images, int ranks) {
  Batch batch;
  batch.images = at::randn({images.count, images.channels, images.height, images.width})
                     .to(images.device, images.bfloat16 ? at::kBFloat16 : at::kFloat)
                     .contiguous(at::MemoryFormat::ChannelsLast);
  batch.labels = at::randint(images.classes, {images.count}, at::TensorOptions(at::kLong))
                     .to(images.device, at::kLong);
  batch.global_size = images.count * ranks;
  batch.indices.resize(images.count);
  std::iota(batch.indices.begin(), batch.indices.end(), 0);
  return batch;
}

void PhaseTimer::Begin(absl::string_view phase) {
  End();
  running_ = std::string(phase);
  start_ = Clock::now();
}

void PhaseTimer::End() {
  if (running_.empty()) return;
  seconds_[running_] += std::chrono::duration<double>(Clock::now() - start_).count();
  running_.clear();
}

double PhaseTimer::Seconds(const std::string& phase) const {
  const auto found = seconds_.find(phase);
  return found == seconds_.end() ? 0 : found->second;
}

}  // namespace finetune
