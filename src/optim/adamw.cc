#include "src/optim/adamw.h"

#include <ATen/Parallel.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <utility>

#include "src/optim/check_kind.h"

namespace finetune {
namespace {

// The number of elements that a thread takes at a time: 64 KiB of each of the four arrays.
constexpr int64_t kGrain = 16384;

// The numbers of a step that are the same for all elements.
struct Coefficients {
  float scale;
  float beta1_rest;  // 1 - beta1
  float beta2;
  float beta2_rest;    // 1 - beta2
  float keep;          // 1 - lr * weight_decay
  float step;          // lr / (1 - beta1^t)
  float inverse_root;  // 1 / sqrt(1 - beta2^t)
  float epsilon;
};

// A plain loop, which the compiler vectorizes because BUILD sets -fno-math-errno, so that std::sqrt
// needs no call. It is compiled for each of these instruction sets, and the fastest one that the
// processor has is chosen when the program starts.
__attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4"))) void UpdateRange(
    float* __restrict w, const float* __restrict gradient, float* __restrict m, float* __restrict v,
    int64_t n, const Coefficients& coefficients) {
  const Coefficients c = coefficients;
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] * c.scale;
    m[i] += c.beta1_rest * (g - m[i]);
    v[i] = c.beta2 * v[i] + c.beta2_rest * g * g;
    w[i] = c.keep * w[i] - c.step * m[i] / (std::sqrt(v[i]) * c.inverse_root + c.epsilon);
  }
}

}  // namespace

void AdamW::Check(const AdamWConfig& config, const Problems& problems) {
  CheckAverages(config, problems);
}

AdamW::AdamW(const AdamWConfig& config, FlatParameters parameters)
    : Optimizer(std::move(parameters)),
      config_(config),
      average_(at::zeros_like(this->parameters().values)),
      square_average_(at::zeros_like(this->parameters().values)) {}

void AdamW::Step(const at::Tensor& gradients, double lr, double scale, int64_t iteration) {
  const double beta1 = config_.beta1(), beta2 = config_.beta2();
  const auto t = static_cast<double>(iteration + 1);
  const double correction = 1 - std::pow(beta1, t);
  const double inverse_root = 1 / std::sqrt(1 - std::pow(beta2, t));
  const at::Tensor& values = parameters().values;
  for (const ParameterGroup& group : parameters().groups) {
    const int64_t count = group.end - group.begin;
    const double group_lr = lr * group.lr_multiplier;
    const double keep = 1 - group_lr * config_.weight_decay() * group.weight_decay_multiplier;
    if (values.is_cpu()) {
      float* w = values.mutable_data_ptr<float>() + group.begin;
      const float* g = gradients.const_data_ptr<float>() + group.begin;
      float* m = average_.mutable_data_ptr<float>() + group.begin;
      float* v = square_average_.mutable_data_ptr<float>() + group.begin;
      const Coefficients c = {.scale = static_cast<float>(scale),
                              .beta1_rest = static_cast<float>(1 - beta1),
                              .beta2 = static_cast<float>(beta2),
                              .beta2_rest = static_cast<float>(1 - beta2),
                              .keep = static_cast<float>(keep),
                              .step = static_cast<float>(group_lr / correction),
                              .inverse_root = static_cast<float>(inverse_root),
                              .epsilon = static_cast<float>(config_.epsilon())};
      at::parallel_for(0, count, kGrain, [=, &c](int64_t begin, int64_t end) {
        UpdateRange(w + begin, g + begin, m + begin, v + begin, end - begin, c);
      });
    } else {
      at::Tensor w = values.narrow(0, group.begin, count);
      at::Tensor m = average_.narrow(0, group.begin, count);
      at::Tensor v = square_average_.narrow(0, group.begin, count);
      const at::Tensor g = gradients.narrow(0, group.begin, count).mul(scale);
      m.lerp_(g, 1 - beta1);
      v.mul_(beta2).addcmul_(g, g, 1 - beta2);
      const at::Tensor divisor = v.sqrt().mul_(inverse_root).add_(config_.epsilon());
      w.mul_(keep).addcdiv_(m, divisor, -group_lr / correction);
    }
  }
}

}  // namespace finetune
