#include "src/optim/sgd.h"

#include <ATen/Parallel.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <regex>
#include <utility>

#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

// Elements a thread takes at a time: 64 KiB of each of the three arrays.
constexpr int64_t kGrain = 16384;

struct Coefficients {
  float lr;
  float momentum;
  float weight_decay;
  float gradient_scale;
  bool nesterov;
};

// Plain enough for the compiler to vectorise; built for each instruction set and chosen when the
// program starts.
__attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4"))) void UpdateRange(
    float* __restrict w, const float* __restrict gradient, float* __restrict v, int64_t n,
    const Coefficients& c) {
  const float lr = c.lr, momentum = c.momentum, decay = c.weight_decay, scale = c.gradient_scale;
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

absl::StatusOr<Sgd> Sgd::Create(const OptimizerConfig& config, std::vector<ParameterSpan> spans,
                                const at::Tensor& values) {
  Sgd sgd;
  sgd.config_ = config.sgd();
  sgd.values_ = values;
  sgd.momentum_ = at::zeros_like(values);
  std::sort(spans.begin(), spans.end(),
            [](const ParameterSpan& a, const ParameterSpan& b) { return a.offset < b.offset; });

  std::vector<std::regex> patterns;
  for (const ParameterRule& rule : config.rule()) {
    try {
      patterns.emplace_back(rule.match(), std::regex::ECMAScript | std::regex::optimize);
    } catch (const std::regex_error& error) {
      return absl::InvalidArgumentError(absl::StrCat(
          "optimizer.rule.match \"", rule.match(), "\" is no regular expression: ", error.what()));
    }
  }
  std::vector<bool> used(patterns.size(), false);
  for (const ParameterSpan& span : spans) {
    double lr_multiplier = 1;
    double decay = config.sgd().weight_decay();
    for (size_t i = 0; i < patterns.size(); ++i) {
      if (!std::regex_search(span.name, patterns[i])) continue;
      lr_multiplier = config.rule(static_cast<int>(i)).lr_multiplier();
      decay *= config.rule(static_cast<int>(i)).weight_decay_multiplier();
      used[i] = true;
      break;
    }
    const int64_t end = span.offset + span.count;
    if (!sgd.runs_.empty() && sgd.runs_.back().end == span.offset &&
        sgd.runs_.back().lr_multiplier == lr_multiplier && sgd.runs_.back().weight_decay == decay) {
      sgd.runs_.back().end = end;
    } else {
      sgd.runs_.push_back({span.offset, end, lr_multiplier, decay});
    }
  }
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) {
      return absl::InvalidArgumentError(
          absl::StrCat("optimizer.rule[", i, "].match \"", config.rule(static_cast<int>(i)).match(),
                       "\" matches no trained parameter, or only ones that an earlier rule has; "
                       "they are named like \"",
                       spans.empty() ? "" : spans.front().name, "\""));
    }
  }
  sgd.spans_ = std::move(spans);
  return sgd;
}

void Sgd::Step(const at::Tensor& gradients, double lr, double gradient_scale) {
  for (const Run& run : runs_) {
    const int64_t count = run.end - run.begin;
    const double run_lr = lr * run.lr_multiplier;
    if (values_.is_cpu()) {
      float* w = values_.mutable_data_ptr<float>() + run.begin;
      const float* g = gradients.const_data_ptr<float>() + run.begin;
      float* v = momentum_.mutable_data_ptr<float>() + run.begin;
      const Coefficients c{static_cast<float>(run_lr), static_cast<float>(config_.momentum()),
                           static_cast<float>(run.weight_decay), static_cast<float>(gradient_scale),
                           config_.nesterov()};
      at::parallel_for(0, count, kGrain, [=, &c](int64_t begin, int64_t end) {
        UpdateRange(w + begin, g + begin, v + begin, end - begin, c);
      });
    } else {
      at::Tensor w = values_.narrow(0, run.begin, count);
      at::Tensor v = momentum_.narrow(0, run.begin, count);
      const at::Tensor g =
          gradients.narrow(0, run.begin, count).mul(gradient_scale).add_(w, run.weight_decay);
      v.mul_(config_.momentum()).add_(g);
      w.add_(config_.nesterov() ? g.add(v, config_.momentum()) : v, -run_lr);
    }
  }
}

double GradientNorm(const at::Tensor& gradients) {
  if (!gradients.is_cpu()) return at::linalg_vector_norm(gradients).item<double>();
  const int64_t n = gradients.numel();
  const float* g = gradients.const_data_ptr<float>();
  std::vector<double> partial((n + kGrain - 1) / kGrain, 0.0);
  at::parallel_for(0, static_cast<int64_t>(partial.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      double sum = 0;
      for (int64_t i = chunk * kGrain; i < std::min(n, (chunk + 1) * kGrain); ++i) {
        sum += static_cast<double>(g[i]) * g[i];
      }
      partial[chunk] = sum;
    }
  });
  double total = 0;
  for (double sum : partial) total += sum;
  return std::sqrt(total);
}

}  // namespace finetune
