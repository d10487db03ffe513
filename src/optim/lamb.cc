#include "src/optim/lamb.h"

#include <ATen/TensorOperators.h>
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
  float scale;
  float beta1_rest;  // 1 - beta1
  float beta2;
  float beta2_rest;    // 1 - beta2
  float correction;    // 1 / (1 - beta1^t)
  float inverse_root;  // 1 / sqrt(1 - beta2^t)
  float epsilon;
  float weight_decay;
  float step;  // lr times the trust ratio; unused by Measure()
};

inline float UpdateOf(float w, float m, float v, const Coefficients& c) {
  return m * c.correction / (std::sqrt(v) * c.inverse_root + c.epsilon) + c.weight_decay * w;
}

// Moves m and v, and returns the squares of w and of u. Plain loops, which the compiler vectorizes
// because BUILD sets -fno-math-errno, so that std::sqrt needs no call. They are compiled for each
// of these instruction sets, and the fastest one that the processor has is chosen when the program
// starts.
__attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4"))) void MeasureRange(
    const float* __restrict w, const float* __restrict gradient, float* __restrict m,
    float* __restrict v, int64_t n, const Coefficients& coefficients,
    double* __restrict weight_squares, double* __restrict update_squares) {
  const Coefficients c = coefficients;
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] * c.scale;
    m[i] += c.beta1_rest * (g - m[i]);
    v[i] = c.beta2 * v[i] + c.beta2_rest * g * g;
  }
  for (int64_t i = 0; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      const auto weight = static_cast<double>(w[i + j]);
      const auto update = static_cast<double>(UpdateOf(w[i + j], m[i + j], v[i + j], c));
      weight_squares[j] += weight * weight;
      update_squares[j] += update * update;
    }
  }
  for (int64_t i = n - n % kLanes; i < n; ++i) {
    const auto update = static_cast<double>(UpdateOf(w[i], m[i], v[i], c));
    weight_squares[0] += static_cast<double>(w[i]) * w[i];
    update_squares[0] += update * update;
  }
}

__attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4"))) void UpdateRange(
    float* __restrict w, const float* __restrict m, const float* __restrict v, int64_t n,
    const Coefficients& coefficients) {
  const Coefficients c = coefficients;
  for (int64_t i = 0; i < n; ++i) w[i] -= c.step * UpdateOf(w[i], m[i], v[i], c);
}

}  // namespace

void Lamb::Check(const LambConfig& config, const Problems& problems) {
  CheckAverages(config, problems);
}

Lamb::Lamb(const LambConfig& config, FlatParameters parameters)
    : Optimizer(std::move(parameters)),
      config_(config),
      average_(at::zeros_like(this->parameters().values)),
      square_average_(at::zeros_like(this->parameters().values)),
      passes_(this->parameters(), config.weight_decay(), config.always_adapt()) {}

void Lamb::Step(const at::Tensor& gradients, double lr, double scale, int64_t iteration) {
  if (parameters().values.is_cpu()) {
    StepOnCpu(gradients, lr, scale, iteration);
  } else {
    StepOnDevice(gradients, lr, scale, iteration);
  }
}

void Lamb::StepOnCpu(const at::Tensor& gradients, double lr, double scale, int64_t iteration) {
  const double beta1 = config_.beta1(), beta2 = config_.beta2();
  const auto t = static_cast<double>(iteration + 1);
  const Coefficients all = {
      .scale = static_cast<float>(scale),
      .beta1_rest = static_cast<float>(1 - beta1),
      .beta2 = static_cast<float>(beta2),
      .beta2_rest = static_cast<float>(1 - beta2),
      .correction = static_cast<float>(1 / (1 - std::pow(beta1, t))),
      .inverse_root = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, t))),
      .epsilon = static_cast<float>(config_.epsilon()),
      .weight_decay = 0,
      .step = 0};
  float* const w = parameters().values.mutable_data_ptr<float>();
  const float* const g = gradients.const_data_ptr<float>();
  float* const m = average_.mutable_data_ptr<float>();
  float* const v = square_average_.mutable_data_ptr<float>();
  passes_.Measure([=, &all](const LayerParameter& parameter, int64_t begin, int64_t end) {
    Coefficients c = all;
    c.weight_decay = static_cast<float>(parameter.weight_decay);
    double weights[kLanes] = {}, updates[kLanes] = {};
    MeasureRange(w + begin, g + begin, m + begin, v + begin, end - begin, c, weights, updates);
    return SquareSums{SumOf(weights), SumOf(updates)};
  });
  passes_.Update([=, &all, this](const LayerParameter& parameter, const SquareSums& sums,
                                 int64_t begin, int64_t end) {
    double ratio = 1;
    if (parameter.adapts && sums.weights > 0 && sums.updates > 0) {
      ratio = std::sqrt(sums.weights / sums.updates);
      if (config_.trust_clip()) ratio = std::min(ratio, 1.0);
    }
    Coefficients c = all;
    c.weight_decay = static_cast<float>(parameter.weight_decay);
    c.step = static_cast<float>(lr * parameter.lr_multiplier * ratio);
    UpdateRange(w + begin, m + begin, v + begin, end - begin, c);
  });
}

// The norms stay on the device, so that the step does not wait for it.
void Lamb::StepOnDevice(const at::Tensor& gradients, double lr, double scale, int64_t iteration) {
  const double beta1 = config_.beta1(), beta2 = config_.beta2();
  const auto t = static_cast<double>(iteration + 1);
  const double correction = 1 - std::pow(beta1, t);
  const double root = std::sqrt(1 - std::pow(beta2, t));
  for (const LayerParameter& parameter : passes_.parameters()) {
    at::Tensor w = parameters().values.narrow(0, parameter.offset, parameter.count);
    at::Tensor m = average_.narrow(0, parameter.offset, parameter.count);
    at::Tensor v = square_average_.narrow(0, parameter.offset, parameter.count);
    const at::Tensor g = gradients.narrow(0, parameter.offset, parameter.count).mul(scale);
    m.lerp_(g, 1 - beta1);
    v.mul_(beta2).addcmul_(g, g, 1 - beta2);
    at::Tensor update = m.div(correction).div_(v.sqrt().div_(root).add_(config_.epsilon()));
    update.add_(w, parameter.weight_decay);
    if (parameter.adapts) {
      const at::Tensor weights = at::linalg_vector_norm(w),
                       updates = at::linalg_vector_norm(update);
      at::Tensor ratio = at::where(weights.gt(0).logical_and(updates.gt(0)), weights.div(updates),
                                   at::ones_like(weights));
      if (config_.trust_clip()) ratio = ratio.clamp_max(1);
      update.mul_(ratio);
    }
    w.sub_(update, lr * parameter.lr_multiplier);
  }
}

}  // namespace finetune
