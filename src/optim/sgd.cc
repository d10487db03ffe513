#include "src/optim/sgd.h"

#include <ATen/Parallel.h>
#include <ATen/ops/zeros_like.h>

#include <utility>

#include "src/optim/check_kind.h"

namespace finetune {
namespace {

// The number of elements that a thread takes at a time: 64 KiB of each of the three arrays.
constexpr int64_t kGrain = 16384;

struct Coefficients {
  float lr;
  float momentum;
  float weight_decay;
  float scale;
  bool nesterov;
};

// A plain loop, which the compiler vectorizes. It is compiled for each of these instruction sets,
// and the fastest one that the processor has is chosen when the program starts.
__attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4"))) void UpdateRange(
    float* __restrict w, const float* __restrict gradient, float* __restrict v, int64_t n,
    const Coefficients& c) {
  const float lr = c.lr, momentum = c.momentum, decay = c.weight_decay, scale = c.scale;
  if (c.nesterov) {
    for (int64_t i = 0; i < n; ++i) {
      const float g = gradient[i] * scale + decay * w[i];
      v[i] = momentum * v[i] + g;
      w[i] -= lr * (g + momentum * v[i]);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) {
      const float g = gradient[i] * scale + decay * w[i];
      v[i] = momentum * v[i] + g;
      w[i] -= lr * v[i];
    }
  }
}

}  // namespace

void Sgd::Check(const SgdConfig& config, const Problems& problems) {
  CheckMomentum(config, problems);
}

Sgd::Sgd(const SgdConfig& config, FlatParameters parameters)
    : Optimizer(std::move(parameters)),
      config_(config),
      momentum_(at::zeros_like(this->parameters().values)) {}

void Sgd::Step(const at::Tensor& gradients, double lr, double scale, int64_t /*iteration*/) {
  const at::Tensor& values = parameters().values;
  for (const ParameterGroup& group : parameters().groups) {
    const int64_t count = group.end - group.begin;
    const double group_lr = lr * group.lr_multiplier;
    const double decay = config_.weight_decay() * group.weight_decay_multiplier;
    if (values.is_cpu()) {
      float* w = values.mutable_data_ptr<float>() + group.begin;
      const float* g = gradients.const_data_ptr<float>() + group.begin;
      float* v = momentum_.mutable_data_ptr<float>() + group.begin;
      const Coefficients c = {static_cast<float>(group_lr), static_cast<float>(config_.momentum()),
                              static_cast<float>(decay), static_cast<float>(scale),
                              config_.nesterov()};
      at::parallel_for(0, count, kGrain, [=, &c](int64_t begin, int64_t end) {
        UpdateRange(w + begin, g + begin, v + begin, end - begin, c);
      });
    } else {
      at::Tensor w = values.narrow(0, group.begin, count);
      at::Tensor v = momentum_.narrow(0, group.begin, count);
      const at::Tensor g = gradients.narrow(0, group.begin, count).mul(scale).add_(w, decay);
      v.mul_(config_.momentum()).add_(g);
      w.add_(config_.nesterov() ? g.add(v, config_.momentum()) : v, -group_lr);
    }
  }
}

}  // namespace finetune
