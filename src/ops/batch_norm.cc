// Batch norm of training with the statistics of one rank or of all ranks, for autograd.
//
// Forward: mean and var are those of each channel over all values of the batch, on all ranks where
// sum_over_ranks is set. With a = gamma / sqrt(var + epsilon), y = a (x - mean) + beta, computed as
// x * scale + shift.
//
// Backward: g is the gradient of the batch norm's result, n the number of values of a channel on
// all ranks. beta's gradient is sum g, gamma's is sum g (x - mean) / sqrt(var + epsilon), each over
// this rank's values. Because mean and var depend on x,
//   dx = a (g - sum g / n - (x - mean) / (var + epsilon) * sum g (x - mean) / n),
// with both sums over all ranks. That is g a + x b + c with one b and c for each channel:
//   b = -a / (var + epsilon) * sum g (x - mean) / n,   c = -a sum g / n - b mean.
//
// SyncBatchNorm() computes this with LibTorch's kernels, also on a GPU. BatchNormAct() uses the
// kernels of batch_norm_kernels.h, which include the residual add and the activation; there g is
// the gradient of the activation's input.
//
// Invariants: sums over ranks are made once forward and once backward, on every rank and also
// without images. (BatchNormAct() makes the backward one only if x needs a gradient, which is the
// same on every rank.) All ranks get the same statistics and update their running statistics
// equally.
//
// Reference: LibTorch's batch norm of the whole batch in float64, by batch_norm_test.cc.
#include "src/ops/batch_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm_update_stats.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/native_batch_norm_backward.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "src/ops/batch_norm_kernels.h"
#include "src/ops/batch_norm_steps.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void Sum(const SumOverRanks& sum_over_ranks, const at::Tensor& values) {
  const absl::Status status = sum_over_ranks(values);
  TORCH_CHECK(status.ok(), "synchronised batch norm: ", std::string(status.message()));
}

// Splits float64 numbers [n] into float32 numbers [2 n]: first the upper 13 bits of each mantissa,
// then the remainders. float32 adds the upper parts of up to 2048 ranks exactly where the numbers
// have about the same magnitude. So a sum has a relative error of 2^-36; a sum of float32 numbers
// would have 2^-24. Join() undoes the split.
at::Tensor Split(const at::Tensor& exact) {
  constexpr int32_t kUpper = ~((1 << 11) - 1);
  const at::Tensor upper = exact.to(at::kFloat).view(at::kInt).bitwise_and(kUpper).view(at::kFloat);
  return at::cat({upper, (exact - upper).to(at::kFloat)});
}
at::Tensor Join(const at::Tensor& parts) {
  const int64_t n = parts.numel() / 2;
  return parts.narrow(0, 0, n).to(at::kDouble) + parts.narrow(0, n, n);
}

struct GlobalStatistics {
  ChannelStatistics channels;  // float32
  at::Tensor total;            // [1] float64: the number of values in each channel
};

// Returns the statistics of all ranks' values. `own`: this rank's statistics; `count`: the number
// of this rank's values in each channel. Sums [sum x, sum x^2, count] over the ranks in one call.
// The variance is sum x^2 / count minus the square of the mean. For values far from 0 this
// difference needs more digits than float32 has, so the sums are split.
GlobalStatistics SumStatistics(const SumOverRanks& sum_over_ranks, double count,
                               const ChannelStatistics& own) {
  const int64_t channels = own.mean.numel();
  const at::Tensor own_mean = own.mean.to(at::kDouble);
  const at::Tensor parts = Split(at::cat({own_mean * count, (own.var + own_mean.square()) * count,
                                          at::full({1}, count, own_mean.options())}));
  Sum(sum_over_ranks, parts);
  const at::Tensor sums = Join(parts);
  const at::Tensor total = sums.narrow(0, 2 * channels, 1);
  const at::Tensor mean = sums.narrow(0, 0, channels) / total;
  const at::Tensor var = (sums.narrow(0, channels, channels) / total - mean.square()).clamp_min_(0);
  return {{mean.to(at::kFloat), var.to(at::kFloat)}, total};
}

void CheckCount(double total) {
  TORCH_CHECK_VALUE(total > 1,
                    "synchronised batch norm got one value a channel over all ranks, which has no "
                    "variance: use larger batches or larger images");
}

// Returns `values` [C] in the shape [1, C, 1, 1].
at::Tensor PerChannel(const at::Tensor& values) { return values.view({1, -1, 1, 1}); }

// SyncBatchNorm() for autograd. Once the statistics of all ranks are known, training normalises as
// evaluation does, so LibTorch's evaluation kernels do the work forward and backward. In training
// the statistics depend on x; backward adds that part of the gradient from two sums for each
// channel.
struct SyncBatchNormFunction : torch::autograd::Function<SyncBatchNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& gamma,
                            const at::Tensor& beta, const at::Tensor& running_mean,
                            const at::Tensor& running_var,
                            const c10::intrusive_ptr<SumHolder>& holder, double epsilon,
                            double momentum) {
    // The statistics of this rank's x. batch_norm_update_stats() also updates running statistics,
    // so it gets temporary ones.
    ChannelStatistics own{at::zeros_like(running_mean), at::zeros_like(running_var)};
    const int64_t count = x.numel() / x.size(1);
    if (count > 0) {
      std::tie(own.mean, own.var) = at::batch_norm_update_stats(
          x, at::zeros_like(own.mean), at::ones_like(own.var), /*momentum=*/0);
    }
    const auto [all, sum] = SumStatistics(holder->sum, static_cast<double>(count), own);
    const at::Tensor &mean = all.mean, &var = all.var, total = sum.to(at::kFloat);
    // With two or more values on this rank the total is surely over 1. Reading it would make the
    // CPU wait for the GPU.
    if (count <= 1) CheckCount(total.item<double>());
    running_mean.lerp_(mean, momentum);
    running_var.lerp_(var * (total / (total - 1)), momentum);

    context->save_for_backward({x, gamma, mean, var, total});
    context->saved_data["sum"] = c10::IValue::make_capsule(holder);
    context->saved_data["epsilon"] = epsilon;
    return std::get<0>(
        at::native_batch_norm(x, gamma, beta, mean, var, /*training=*/false, momentum, epsilon));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &gamma = saved[1], &mean = saved[2], &var = saved[3],
                     &total = saved[4];
    // The kernel returns dx = g * gamma * invstd, dgamma = sum g * x^ and dbeta = sum g, where g is
    // the result's gradient and x^ the normalised x. It is not called for an empty x, because it
    // divides by the number of images.
    at::Tensor dx = gradients[0], dgamma = at::zeros_like(gamma), dbeta = at::zeros_like(gamma);
    const double epsilon = context->saved_data["epsilon"].toDouble();
    if (x.numel() > 0) {
      std::tie(dx, dgamma, dbeta) = at::native_batch_norm_backward(
          gradients[0], x, gamma, mean, var, {}, {}, /*train=*/false, epsilon, {true, true, true});
    }
    const at::Tensor sums = at::cat({dgamma, dbeta});
    const c10::intrusive_ptr<torch::CustomClassHolder> holder =
        context->saved_data["sum"].toCapsule();
    Sum(static_cast<const SumHolder*>(holder.get())->sum, sums);
    if (context->needs_input_grad(0)) {
      // The gradient through the statistics:
      // dx -= gamma * invstd * (x^ * mean of g x^ + mean of g).
      const int64_t channels = x.size(1);
      const at::Tensor means = sums / total;
      const at::Tensor invstd = at::rsqrt(var + epsilon);
      const at::Tensor slope = gamma * invstd.square() * means.narrow(0, 0, channels);
      const at::Tensor offset = gamma * invstd * means.narrow(0, channels, channels) - slope * mean;
      dx = (dx - x * PerChannel(slope) - PerChannel(offset)).to(x.scalar_type());
    }
    return {dx, dgamma, dbeta, {}, {}, {}, {}, {}};
  }
};

struct BatchNormActFunction : torch::autograd::Function<BatchNormActFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& gamma,
                            const at::Tensor& beta, const at::Tensor& running_mean,
                            const at::Tensor& running_var,
                            const std::optional<at::Tensor>& residual, Activation activation,
                            bool training, const c10::intrusive_ptr<SumHolder>& holder,
                            double epsilon, double momentum) {
    const NormStatistics statistics =
        FindStatistics(x, running_mean, running_var, training, holder->sum, momentum);
    const auto [scale, shift] = ScaleShiftOf(statistics.channels, gamma, beta, epsilon);
    at::Tensor y = ScaleShiftAddAct(x, scale, shift, residual.value_or(at::Tensor()), activation);

    const bool by_result = SlopeFollowsFromResult(activation);
    const bool reads_y = by_result && activation != Activation::kNone;
    const auto& [mean, var] = statistics.channels;
    context->save_for_backward({x, reads_y ? y : at::Tensor(), gamma, mean, var,
                                by_result ? at::Tensor() : scale,
                                by_result ? at::Tensor() : shift});
    context->saved_data["activation"] = static_cast<int64_t>(activation);
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["sum"] = c10::IValue::make_capsule(holder);
    context->saved_data["count"] = statistics.count;
    context->saved_data["training"] = training;
    context->saved_data["residual"] = residual.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &gamma = saved[2];
    const ActivationBehind behind{
        static_cast<Activation>(context->saved_data["activation"].toInt()), saved[1], saved[5],
        saved[6]};
    at::Tensor dy = gradients[0].to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    // The residual's gradient is that of the activation's input.
    const bool wants_g = context->saved_data["residual"].toBool() && context->needs_input_grad(5);
    const bool activated = behind.activation != Activation::kNone;
    const at::Tensor g = wants_g && activated ? at::empty_like(dy) : at::Tensor();
    const c10::intrusive_ptr<torch::CustomClassHolder> holder =
        context->saved_data["sum"].toCapsule();
    const NormGradients of = BackwardOfNorm(
        dy, behind, x, gamma, {{saved[3], saved[4]}, context->saved_data["count"].toDouble()},
        context->saved_data["epsilon"].toDouble(), context->saved_data["training"].toBool(),
        static_cast<const SumHolder*>(holder.get())->sum, context->needs_input_grad(0), g);
    const at::Tensor dresidual = !wants_g ? at::Tensor() : activated ? g : dy;
    return {of.dx, of.dgamma, of.dbeta, {}, {}, dresidual, {}, {}, {}, {}, {}};
  }
};

}  // namespace

NormStatistics FindStatistics(const at::Tensor& x, const at::Tensor& running_mean,
                              const at::Tensor& running_var, bool training,
                              const SumOverRanks& sum_over_ranks, double momentum) {
  auto count = static_cast<double>(x.numel() / x.size(1));
  // A later training step changes the running statistics in place, and backward needs the ones that
  // forward used.
  if (!training) return {{running_mean.clone(), running_var.clone()}, count};
  ChannelStatistics of = StatisticsOf(x);
  if (sum_over_ranks != nullptr) {
    const auto [all, total] = SumStatistics(sum_over_ranks, count, of);
    of = all;
    count = total.item<double>();
    CheckCount(count);
  }
  if (count > 0) {
    running_mean.lerp_(of.mean, momentum);
    running_var.lerp_(of.var * (count / (count - 1)), momentum);
  }
  return {of, count};
}

ScaleShift ScaleShiftOf(const ChannelStatistics& statistics, const at::Tensor& gamma,
                        const at::Tensor& beta, double epsilon) {
  const at::Tensor scale = gamma * at::rsqrt(statistics.var + epsilon);
  return {scale, beta - statistics.mean * scale};
}

NormGradients BackwardOfNorm(const at::Tensor& dy, const ActivationBehind& behind,
                             const at::Tensor& x, const at::Tensor& gamma,
                             const NormStatistics& statistics, double epsilon, bool training,
                             const SumOverRanks& sum_over_ranks, bool wants_dx,
                             const at::Tensor& write_g) {
  const auto& [mean, var] = statistics.channels;
  const ChannelGradientSums sums = GradientSumsOf(dy, behind, x, mean, write_g);
  const at::Tensor invstd = at::rsqrt(var + epsilon);
  NormGradients of{{}, sums.gx * invstd, sums.g};
  if (!wants_dx) return of;
  const at::Tensor a = gamma * invstd;
  at::Tensor b = at::zeros_like(a), c = b;
  if (training) {
    // The gradient through the batch's mean and variance: dx -= a * (<g> + (x - mean) / (var +
    // epsilon) * <g (x - mean)>), where <...> is an average over the batch and g is the gradient of
    // the activation's input.
    const at::Tensor all = at::cat({sums.g, sums.gx});
    if (sum_over_ranks != nullptr) Sum(sum_over_ranks, all);
    const double count = std::max(1.0, statistics.count);
    const int64_t channels = x.size(1);
    b = a * invstd.square() * all.narrow(0, channels, channels) / -count;
    c = a * all.narrow(0, 0, channels) / -count - b * mean;
  }
  // The second pass reads g, if the first one has written it, instead of dy and y.
  of.dx = write_g.defined() ? InputGradient(write_g, {Activation::kNone, {}}, x, a, b, c)
                            : InputGradient(dy, behind, x, a, b, c);
  return of;
}

at::Tensor SyncBatchNorm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                         const at::Tensor& running_mean, const at::Tensor& running_var,
                         const SumOverRanks& sum_over_ranks, const BatchNormSettings& settings) {
  return SyncBatchNormFunction::apply(x, gamma, beta, running_mean, running_var,
                                      c10::make_intrusive<SumHolder>(sum_over_ranks),
                                      settings.epsilon, settings.momentum);
}

at::Tensor BatchNormAct(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                        const at::Tensor& running_mean, const at::Tensor& running_var,
                        const at::Tensor& residual, Activation activation, bool training,
                        const SumOverRanks& sum_over_ranks, const BatchNormSettings& settings) {
  constexpr at::MemoryFormat kLayout = at::MemoryFormat::ChannelsLast;
  TORCH_CHECK_VALUE(!residual.defined() || SlopeFollowsFromResult(activation),
                    "expected a residual with an activation whose slope follows from its result");
  // Autograd does not accept an undefined tensor as an input.
  std::optional<at::Tensor> added;
  if (residual.defined()) added = residual.contiguous(kLayout);
  return BatchNormActFunction::apply(
      x.contiguous(kLayout), gamma, beta, running_mean, running_var, added, activation, training,
      c10::make_intrusive<SumHolder>(sum_over_ranks), settings.epsilon, settings.momentum);
}

}  // namespace finetune
