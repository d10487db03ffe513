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

// Computes average += rest * (source - average), where `rest` is 1 - decay. The compiler vectorizes
// the loop for each of these instruction sets, and the program chooses the fastest one that the
// processor has when it starts.
__attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4"))) void AverageRange(
    float* __restrict average, const float* __restrict source, int64_t n, float rest) {
  for (int64_t i = 0; i < n; ++i) average[i] += rest * (source[i] - average[i]);
}

}  // namespace

void WeightAverage::Check(const EmaConfig& config, const Problems& problems) {
  problems.IsFraction("decay", config.decay());
  problems.Positive("warmup.power", config.warmup().power());
  problems.Positive("warmup.gamma", config.warmup().gamma());
}

WeightAverage::WeightAverage(const EmaConfig& config, std::vector<at::Tensor> sources)
    : config_(config), sources_(std::move(sources)) {
  for (const at::Tensor& source : sources_) averages_.push_back(source.detach().clone());
}

double WeightAverage::DecayAt(int64_t iteration) const {
  if (iteration <= 0) return 0;
  if (!config_.has_warmup()) return config_.decay();
  const double grown = 1 - std::pow(1 + static_cast<double>(iteration) / config_.warmup().gamma(),
                                    -config_.warmup().power());
  return std::min(grown, config_.decay());
}

void WeightAverage::Update(int64_t iteration) {
  const double rest = 1 - DecayAt(iteration);
  if (rest == 1) return Reset();
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const at::Tensor& source = sources_[i];
    at::Tensor& average = averages_[i];
    if (source.is_cpu()) {
      float* a = average.mutable_data_ptr<float>();
      const float* w = source.const_data_ptr<float>();
      at::parallel_for(0, source.numel(), kGrain, [=](int64_t begin, int64_t end) {
        AverageRange(a + begin, w + begin, end - begin, static_cast<float>(rest));
      });
    } else {
      average.lerp_(source, rest);
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
