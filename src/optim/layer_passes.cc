#include "src/optim/layer_passes.h"

namespace finetune {
namespace {

__attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4"))) void AddSquares(
    const float* __restrict values, int64_t n, double* __restrict lanes) {
  for (int64_t i = 0; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      const auto value = static_cast<double>(values[i + j]);
      lanes[j] += value * value;
    }
  }
}

}  // namespace

LayerPasses::LayerPasses(const FlatParameters& parameters, double weight_decay, bool always_adapt) {
  auto group = parameters.groups.begin();
  for (size_t i = 0; i < parameters.spans.size(); ++i) {
    const ParameterSpan& span = parameters.spans[i];
    while (group->end < span.offset + span.count) ++group;
    LayerParameter parameter;
    parameter.offset = span.offset;
    parameter.count = span.count;
    parameter.lr_multiplier = group->lr_multiplier;
    parameter.weight_decay = weight_decay * group->weight_decay_multiplier;
    parameter.adapts =
        always_adapt || (parameter.weight_decay != 0 && !parameters.traits[i].is_norm_or_bias);
    for (int64_t begin = span.offset; begin < span.offset + span.count; begin += kBlock) {
      blocks_.push_back(
          {parameters_.size(), begin, std::min(begin + kBlock, span.offset + span.count), {}});
    }
    parameters_.push_back(parameter);
  }
  sums_.resize(parameters_.size());
}

double SumOf(const double (&lanes)[kLanes]) {
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

double SumOfSquares(const float* values, int64_t n) {
  double lanes[kLanes] = {};
  AddSquares(values, n, lanes);
  double sum = SumOf(lanes);
  for (int64_t i = n - n % kLanes; i < n; ++i) sum += static_cast<double>(values[i]) * values[i];
  return sum;
}

}  // namespace finetune
