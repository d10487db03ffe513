#include "src/optim/weight_average.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace finetune {
namespace {

// The number of elements that a thread takes at a time: 64 KiB of each of the two arrays.
constexpr int64_t kGrain = 16384;

// Computes average += share * (source - average). The compiler vectorizes
// the loop for each of these instruction sets, and the program chooses the fastest one that the
// processor has when it starts.
__attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4"))) void AverageRange(
    float* __restrict average, const float* __restrict source, int64_t n, float share) {
  for (int64_t i = 0; i < n; ++i) average[i] += share * (source[i] - average[i]);
}

}  // namespace

void WeightAverage::Check(const EmaConfig& config, const Problems& problems) {
  problems.IsFraction("decay", config.decay());
  problems.Positive("warmup.power", config.warmup().power());
  problems.Positive("warmup.gamma", config.warmup().gamma());
}

void WeightAverage::CheckSwa(const SwaConfig& config, const Problems& problems) {
  if (config.has_first_epoch()) {
    problems.AtLeast("first_epoch", config.first_epoch(), 1);
  } else {
    problems.Error("first_epoch", "is not set; it is the first epoch whose weights are averaged");
  }
  problems.AtLeast("interval_epochs", config.interval_epochs(), 1);
  if (config.has_statistics_iterations()) {
    problems.AtLeast("statistics_iterations", static_cast<double>(config.statistics_iterations()),
                     1);
  }
}

WeightAverage::WeightAverage(const EmaConfig& config, std::vector<at::Tensor> sources)
    : ema_(config), sources_(std::move(sources)) {
  for (const at::Tensor& source : sources_) averages_.push_back(source.detach().clone());
}

WeightAverage::WeightAverage(const SwaConfig& config, int64_t iterations_per_epoch,
                             std::vector<at::Tensor> sources)
    : swa_(config), iterations_per_epoch_(iterations_per_epoch), sources_(std::move(sources)) {
  for (const at::Tensor& source : sources_) averages_.push_back(source.detach().clone());
}

bool WeightAverage::HasBegun(int64_t iterations) const {
  return !swa_.has_value() || iterations / iterations_per_epoch_ >= swa_->first_epoch();
}

double WeightAverage::ShareAt(int64_t iteration) const {
  if (swa_.has_value()) {
    const int64_t iterations = iteration + 1;
    if (iterations % iterations_per_epoch_ != 0 || !HasBegun(iterations)) return 0;
    const int64_t epochs = iterations / iterations_per_epoch_ - swa_->first_epoch();
    if (epochs % swa_->interval_epochs() != 0) return 0;
    return 1.0 / static_cast<double>(epochs / swa_->interval_epochs() + 1);
  }
  if (iteration <= 0) return 1;
  if (!ema_.has_warmup()) return 1 - ema_.decay();
  const double grown = 1 - std::pow(1 + static_cast<double>(iteration) / ema_.warmup().gamma(),
                                    -ema_.warmup().power());
  return 1 - std::min(grown, ema_.decay());
}

void WeightAverage::Update(int64_t iteration) {
  const double share = ShareAt(iteration);
  if (share == 0) return;
  if (share == 1) return Reset();
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const at::Tensor& source = sources_[i];
    at::Tensor& average = averages_[i];
    if (source.is_cpu()) {
      float* a = average.mutable_data_ptr<float>();
      const float* w = source.const_data_ptr<float>();
      at::parallel_for(0, source.numel(), kGrain, [=](int64_t begin, int64_t end) {
        AverageRange(a + begin, w + begin, end - begin, static_cast<float>(share));
      });
    } else {
      average.lerp_(source, share);
    }
  }
}

void WeightAverage::Reset() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < sources_.size(); ++i) averages_[i].copy_(sources_[i]);
}

void WeightAverage::Swap() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const at::Tensor& source = sources_[i];
    at::Tensor& average = averages_[i];
    if (source.is_cpu()) {
      float* a = average.mutable_data_ptr<float>();
      float* w = source.mutable_data_ptr<float>();
      at::parallel_for(0, source.numel(), kGrain, [=](int64_t begin, int64_t end) {
        std::swap_ranges(a + begin, a + end, w + begin);
      });
    } else {
      const at::Tensor raw = source.clone();
      source.copy_(average);
      average.copy_(raw);
    }
  }
}

TensorList WeightAverage::Of(TensorList tensors) const {
  for (NamedTensor& tensor : tensors) {
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (!tensor.tensor.is_alias_of(sources_[i])) continue;
      tensor.tensor =
          averages_[i].as_strided(tensor.tensor.sizes(), tensor.tensor.strides(),
                                  tensor.tensor.storage_offset() - sources_[i].storage_offset());
      break;
    }
  }
  return tensors;
}

}  // namespace finetune
