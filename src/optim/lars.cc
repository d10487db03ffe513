#include "src/optim/lars.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "src/optim/check_kind.h"

namespace finetune {
namespace {

// The numbers of a step that are the same for all elements of a parameter.
struct Coefficients {
  float gradient;  // the factor of the gradient: its scale times the trust ratio
  float decay;     // the factor of the weight: weight_decay times the trust ratio
  float momentum;
  float lr;
};

// A plain loop, which the compiler vectorizes for each of these instruction sets. The program
// chooses the fastest one that the processor has when it starts.
template <bool kNesterov>
inline void Update(float* __restrict w, const float* __restrict gradient, float* __restrict v,
                   int64_t n, const Coefficients& c) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] * c.gradient + w[i] * c.decay;
    v[i] = c.momentum * v[i] + g;
    w[i] -= c.lr * (kNesterov ? g + c.momentum * v[i] : v[i]);
  }
}

__attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4"))) void UpdateRange(
    float* __restrict w, const float* __restrict gradient, float* __restrict v, int64_t n,
    bool nesterov, const Coefficients& coefficients) {
  const Coefficients c = coefficients;
  if (nesterov) {
    Update<true>(w, gradient, v, n, c);
  } else {
    Update<false>(w, gradient, v, n, c);
  }
}

}  // namespace

void Lars::Check(const LarsConfig& config, const Problems& problems) {
  CheckMomentum(config, problems);
  problems.Positive("trust_coefficient", config.trust_coefficient());
  problems.AtLeast("epsilon", config.epsilon(), 0);
}

Lars::Lars(const LarsConfig& config, FlatParameters parameters)
    : Optimizer(std::move(parameters)),
      config_(config),
      momentum_(at::zeros_like(this->parameters().values)),
      passes_(this->parameters(), config.weight_decay(), config.always_adapt()) {}

void Lars::Step(const at::Tensor& gradients, double lr, double scale, int64_t /*iteration*/) {
  if (parameters().values.is_cpu()) {
    StepOnCpu(gradients, lr, scale);
  } else {
    StepOnDevice(gradients, lr, scale);
  }
}

void Lars::StepOnCpu(const at::Tensor& gradients, double lr, double scale) {
  float* const w = parameters().values.mutable_data_ptr<float>();
  const float* const g = gradients.const_data_ptr<float>();
  float* const v = momentum_.mutable_data_ptr<float>();
  passes_.Measure([=](const LayerParameter& parameter, int64_t begin, int64_t end) {
    if (!parameter.adapts) return SquareSums();
    return SquareSums{SumOfSquares(w + begin, end - begin), SumOfSquares(g + begin, end - begin)};
  });
  passes_.Update([=, this](const LayerParameter& parameter, const SquareSums& sums, int64_t begin,
                           int64_t end) {
    const double parameter_lr = lr * parameter.lr_multiplier;
    double ratio = 1;
    if (sums.weights > 0 && sums.updates > 0 && scale > 0) {
      const double weights = std::sqrt(sums.weights);
      ratio =
          config_.trust_coefficient() * weights /
          (scale * std::sqrt(sums.updates) + parameter.weight_decay * weights + config_.epsilon());
    }
    if (parameter.adapts && config_.trust_clip()) ratio = std::min(ratio / parameter_lr, 1.0);
    const Coefficients c = {.gradient = static_cast<float>(scale * ratio),
                            .decay = static_cast<float>(parameter.weight_decay * ratio),
                            .momentum = static_cast<float>(config_.momentum()),
                            .lr = static_cast<float>(parameter_lr)};
    UpdateRange(w + begin, g + begin, v + begin, end - begin, config_.nesterov(), c);
  });
}

// The norms stay on the device, so that the step does not wait for it.
void Lars::StepOnDevice(const at::Tensor& gradients, double lr, double scale) {
  for (const LayerParameter& parameter : passes_.parameters()) {
    const double parameter_lr = lr * parameter.lr_multiplier;
    at::Tensor w = parameters().values.narrow(0, parameter.offset, parameter.count);
    at::Tensor v = momentum_.narrow(0, parameter.offset, parameter.count);
    at::Tensor g = gradients.narrow(0, parameter.offset, parameter.count).mul(scale);
    at::Tensor ratio;
    if (parameter.adapts) {
      const at::Tensor weights = at::linalg_vector_norm(w), updates = at::linalg_vector_norm(g);
      ratio =
          at::where(weights.gt(0).logical_and(updates.gt(0)),
                    weights.mul(config_.trust_coefficient())
                        .div(updates.add(weights, parameter.weight_decay).add(config_.epsilon())),
                    at::ones_like(weights));
      if (config_.trust_clip()) ratio = ratio.div(parameter_lr).clamp_max(1);
    }
    g.add_(w, parameter.weight_decay);
    if (ratio.defined()) g.mul_(ratio);
    v.mul_(config_.momentum()).add_(g);
    w.sub_(config_.nesterov() ? g.add(v, config_.momentum()) : v, parameter_lr);
  }
}

}  // namespace finetune
