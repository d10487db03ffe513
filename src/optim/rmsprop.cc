#include "src/optim/rmsprop.h"

#include <ATen/Parallel.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "src/optim/check_kind.h"

namespace finetune {
namespace {

// The number of elements that a thread takes at a time: 64 KiB of each of the arrays.
constexpr int64_t kGrain = 16384;

// The numbers of a step that are the same for all elements.
struct Coefficients {
  float scale;
  float weight_decay;
  float alpha;
  float rest;  // 1 - alpha
  float momentum;
  // PYTORCH has its epsilon outside of the root, TENSORFLOW inside; the other one is 0.
  float inside_root;
  float outside_root;
  // PYTORCH multiplies the update by lr, TENSORFLOW what is added to the momentum; the other factor
  // is 1.
  float momentum_rate;
  float rate;
};

// The pointers of an array that the settings do not need are null.
struct Arrays {
  float* w;
  const float* gradient;
  float* s;
  float* a;
  float* b;
};

template <bool kCentered, bool kMomentum>
inline __attribute__((always_inline)) void UpdateAll(const Arrays& arrays, int64_t n,
                                                     const Coefficients& coefficients) {
  const Coefficients c = coefficients;
  float* __restrict w = arrays.w;
  const float* __restrict gradient = arrays.gradient;
  float* __restrict s = arrays.s;
  float* __restrict a = arrays.a;
  float* __restrict b = arrays.b;
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] * c.scale + c.weight_decay * w[i];
    s[i] = c.alpha * s[i] + c.rest * g * g;
    float variance = s[i];
    if constexpr (kCentered) {
      a[i] = c.alpha * a[i] + c.rest * g;
      // Rounding can make the variance of equal gradients negative.
      variance = std::max(0.0f, variance - a[i] * a[i]);
    }
    float update = c.momentum_rate * g / (std::sqrt(variance + c.inside_root) + c.outside_root);
    if constexpr (kMomentum) {
      update += c.momentum * b[i];
      b[i] = update;
    }
    w[i] -= c.rate * update;
  }
}

// Plain loops, which the compiler vectorizes because BUILD sets -fno-math-errno, so that std::sqrt
// needs no call. They are compiled for each of these instruction sets, and the fastest one that the
// processor has is chosen when the program starts.
__attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4"))) void UpdateRange(
    const Arrays& arrays, int64_t n, const Coefficients& c) {
  if (arrays.a == nullptr) {
    if (arrays.b == nullptr) return UpdateAll<false, false>(arrays, n, c);
    return UpdateAll<false, true>(arrays, n, c);
  }
  if (arrays.b == nullptr) return UpdateAll<true, false>(arrays, n, c);
  UpdateAll<true, true>(arrays, n, c);
}

}  // namespace

void RmsProp::Check(const RmsPropConfig& config, const Problems& problems) {
  CheckRate(config, problems);
  problems.IsFraction("alpha", config.alpha());
  CheckEpsilon(config, problems);
  problems.IsFraction("momentum", config.momentum());
  problems.AtLeast("weight_decay", config.weight_decay(), 0);
}

RmsProp::RmsProp(const RmsPropConfig& config, FlatParameters parameters)
    : Optimizer(std::move(parameters)),
      config_(config),
      square_average_(at::zeros_like(this->parameters().values)),
      momentum_(config.momentum() > 0 ? at::zeros_like(this->parameters().values) : at::Tensor()),
      gradient_average_(config.centered() ? at::zeros_like(this->parameters().values)
                                          : at::Tensor()) {}

TensorList RmsProp::State() const {
  TensorList state = {{"square_avg", square_average_}};
  if (momentum_.defined()) state.push_back({"momentum_buffer", momentum_});
  if (gradient_average_.defined()) state.push_back({"grad_avg", gradient_average_});
  return state;
}

void RmsProp::Step(const at::Tensor& gradients, double lr, double scale, int64_t iteration) {
  const bool tensorflow = config_.origin() == RmsPropConfig::TENSORFLOW;
  // The state is 0 before the first step, so TensorFlow's initial value is set here.
  if (tensorflow && iteration == 0) square_average_.fill_(1);
  const double alpha = config_.alpha(), momentum = config_.momentum();
  const double inside_root = tensorflow ? config_.epsilon() : 0;
  const double outside_root = tensorflow ? 0 : config_.epsilon();
  const at::Tensor& values = parameters().values;
  for (const ParameterGroup& group : parameters().groups) {
    const int64_t count = group.end - group.begin;
    const double group_lr = lr * group.lr_multiplier;
    const double momentum_rate = tensorflow ? group_lr : 1;
    const double rate = tensorflow ? 1 : group_lr;
    const double decay = config_.weight_decay() * group.weight_decay_multiplier;
    if (values.is_cpu()) {
      const auto begin_of = [&group](const at::Tensor& state) {
        return state.defined() ? state.mutable_data_ptr<float>() + group.begin : nullptr;
      };
      const Arrays all = {.w = begin_of(values),
                          .gradient = gradients.const_data_ptr<float>() + group.begin,
                          .s = begin_of(square_average_),
                          .a = begin_of(gradient_average_),
                          .b = begin_of(momentum_)};
      const Coefficients c = {.scale = static_cast<float>(scale),
                              .weight_decay = static_cast<float>(decay),
                              .alpha = static_cast<float>(alpha),
                              .rest = static_cast<float>(1 - alpha),
                              .momentum = static_cast<float>(momentum),
                              .inside_root = static_cast<float>(inside_root),
                              .outside_root = static_cast<float>(outside_root),
                              .momentum_rate = static_cast<float>(momentum_rate),
                              .rate = static_cast<float>(rate)};
      at::parallel_for(0, count, kGrain, [&all, &c](int64_t begin, int64_t end) {
        const auto from = [begin](auto* array) {
          return array == nullptr ? nullptr : array + begin;
        };
        UpdateRange({from(all.w), from(all.gradient), from(all.s), from(all.a), from(all.b)},
                    end - begin, c);
      });
    } else {
      const auto part_of = [&group, count](const at::Tensor& state) {
        return state.narrow(0, group.begin, count);
      };
      at::Tensor w = part_of(values), s = part_of(square_average_);
      const at::Tensor g = part_of(gradients).mul(scale).add_(w, decay);
      s.mul_(alpha).addcmul_(g, g, 1 - alpha);
      at::Tensor variance = s;
      if (gradient_average_.defined()) {
        at::Tensor a = part_of(gradient_average_);
        a.mul_(alpha).add_(g, 1 - alpha);
        variance = s.addcmul(a, a, -1).clamp_min_(0);
      }
      const at::Tensor root = variance.add(inside_root).sqrt_().add_(outside_root);
      if (momentum_.defined()) {
        at::Tensor b = part_of(momentum_);
        b.mul_(momentum).addcdiv_(g, root, momentum_rate);
        w.add_(b, -rate);
      } else {
        w.addcdiv_(g, root, -momentum_rate * rate);
      }
    }
  }
}

}  // namespace finetune
