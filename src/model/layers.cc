#include "src/model/layers.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/hardsigmoid.h>
#include <ATen/ops/hardswish.h>
#include <ATen/ops/hardtanh.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <variant>

#include "src/ops/conv.h"
#include "src/ops/dense_conv.h"
#include "src/ops/depthwise.h"
#include "src/ops/gelu_mlp.h"
#include "src/ops/max_pool.h"

namespace finetune {
namespace {

// Returns the number of zeros that a side of `size` pixels needs for ceil(size / stride) results.
int64_t SamePadding(int64_t size, int64_t kernel, int64_t stride) {
  return std::max<int64_t>(0, ((size + stride - 1) / stride - 1) * stride + kernel - size);
}

Padding PaddingOf(const Conv& conv, const at::Tensor& x) {
  if (!conv.same) return {conv.padding, conv.padding, conv.padding, conv.padding};
  const int64_t down = SamePadding(x.size(2), conv.weight.size(2), conv.stride);
  const int64_t across = SamePadding(x.size(3), conv.weight.size(3), conv.stride);
  return {down / 2, across / 2, down - down / 2, across - across / 2};
}

// Returns x, with the zeros of conv.same added, for a kernel that only knows conv.padding.
at::Tensor Padded(const at::Tensor& x, const Conv& conv) {
  if (!conv.same) return x;
  const auto [top, left, bottom, right] = PaddingOf(conv, x);
  return at::constant_pad_nd(x, {left, right, top, bottom});
}

// Returns whether DepthwiseConv() can compute this convolution in this type.
bool RunsDepthwise(at::ScalarType type, const Conv& conv) {
  return conv.groups != 1 && DepthwiseRuns(type, conv.weight, conv.groups);
}

bool IsNarrowAndStrided(const at::Tensor& x, const Conv& conv) {
  return conv.stride > 1 && conv.weight.size(2) == 1 && conv.weight.size(1) < 16 && x.is_cpu();
}

// Returns conv(x), in x's type, by LibTorch's operators.
at::Tensor Convolve(const at::Tensor& x, const Conv& conv) {
  const at::ScalarType type = ConvType(x);
  const at::Tensor weight = RoundedFor(conv.weight, x);
  const at::Tensor bias = conv.bias.defined() ? conv.bias.to(type) : conv.bias;
  // oneDNN's backward pass of a strided 1x1 convolution writes out of bounds where the input has
  // fewer channels than a oneDNN block (github.com/uxlfoundation/oneDNN/issues/6035). So the pixels
  // that the stride skips are removed first, and the convolution runs with stride 1.
  if (IsNarrowAndStrided(x, conv)) {
    const at::Tensor kept =
        x.slice(2, 0, x.size(2), conv.stride).slice(3, 0, x.size(3), conv.stride);
    return at::conv2d(kept.contiguous(at::MemoryFormat::ChannelsLast).to(type), weight, bias)
        .to(x.scalar_type());
  }
  return at::conv2d(Padded(x, conv).to(type), weight, bias, conv.stride, conv.padding,
                    /*dilation=*/1, conv.groups)
      .to(x.scalar_type());
}

// Returns the batch norm with the momentum that it has in this pass. The copy shares its tensors.
BatchNorm InPass(const BatchNorm& norm, const StagePass& pass) {
  BatchNorm copy = norm;
  copy.settings.momentum = pass.context.statistics_momentum.value_or(norm.settings.momentum);
  return copy;
}

at::Tensor Normalize(const at::Tensor& x, const BatchNorm& norm, bool batch_statistics) {
  return at::batch_norm(x, norm.gamma, norm.beta, norm.running_mean, norm.running_var,
                        batch_statistics, norm.settings.momentum, norm.settings.epsilon,
                        /*cudnn_enabled=*/true);
}

// Returns activation(y), computed in place. This is safe, because y is the result of a batch norm
// or a convolution, whose backward pass does not read its result. If the activation's own backward
// pass reads y, autograd keeps a copy.
at::Tensor Activate(at::Tensor y, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      break;
    case Activation::kRelu:
      return y.relu_();
    case Activation::kRelu6:
      return at::hardtanh_(y, 0, 6);
    case Activation::kSilu:
      return at::silu_(y);
    case Activation::kHardSwish:
      return at::hardswish_(y);
  }
  return y;
}

// Adds the residual, if defined, and applies the activation, both in place.
at::Tensor AddAndActivate(const at::Tensor& y, const at::Tensor& residual, Activation activation) {
  if (residual.defined()) y.add_(residual);
  return Activate(y, activation);
}

// Packs the convolution `conv`, but with this weight and bias (float32), for the kernel that is
// fastest for inputs of x's shape. Rounds both to x's type.
PackedConv Pack(const at::Tensor& weight, const at::Tensor& bias, const Conv& conv,
                const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  PackedConv packed{{}, bias.to(type)};
  if (RunsDepthwise(type, conv)) {
    packed.weight = PackDepthwise(weight.to(type));
  } else if (conv.groups != 1) {
    packed.weight = weight.to(type);
  } else if (WinogradRuns(x, weight, conv.stride, conv.padding)) {
    packed.weight = TransformWeight(weight, type);
  } else if (PointwiseRuns(x, weight, conv.stride, conv.padding)) {
    packed.weight = PackPointwise(weight, type);
  } else if (OneDnnConvRuns(x)) {
    packed.weight = PackConvWeight(weight.to(type), x, conv.stride, conv.padding);
  } else {
    packed.weight = weight.to(type);
  }
  return packed;
}

// Folds the batch norm into the convolution, in float32: w' = w * gamma / sqrt(var + epsilon),
// b' = beta + (b - mean) * gamma / sqrt(var + epsilon), where b is the convolution's bias, if any.
PackedConv Fold(const ConvBn& layer, const at::Tensor& x) {
  const BatchNorm& norm = layer.norm;
  const at::Tensor scale = at::rsqrt(norm.running_var.add(norm.settings.epsilon)).mul_(norm.gamma);
  const at::Tensor& bias = layer.conv.bias;
  const at::Tensor mean = bias.defined() ? norm.running_mean.sub(bias) : norm.running_mean;
  return Pack(layer.conv.weight.mul(scale.view({-1, 1, 1, 1})), norm.beta.sub(mean.mul(scale)),
              layer.conv, x);
}

// Returns activation(conv(x) + bias + residual), by one operator() for each layout of a weight. May
// overwrite `residual`.
struct RunPacked {
  const at::Tensor& x;
  const Conv& conv;
  const at::Tensor& bias;
  const at::Tensor& residual;
  const Activation activation;

  at::Tensor operator()(const WinogradWeight& weight) const {
    return Rest(WinogradConv(x, weight, bias.to(at::kFloat), residual, relu()));
  }
  at::Tensor operator()(const PointwiseWeight& weight) const {
    return Rest(PointwiseConv(x, weight, bias.to(at::kFloat), residual, conv.stride, relu()));
  }
  at::Tensor operator()(const OneDnnWeight& weight) const {
    const at::Tensor y = residual.defined()
                             ? OneDnnConvAdd(x, weight, bias, conv.stride, conv.padding, residual)
                             : OneDnnConv(x, weight, bias, conv.stride, conv.padding);
    return Activate(y, activation);
  }
  at::Tensor operator()(const DepthwiseWeight& weight) const {
    const Padding padding = PaddingOf(conv, x);
    const at::Tensor shift = bias.to(at::kFloat);
    if (!residual.defined()) {
      return DepthwiseConv(x, weight, shift, activation, conv.stride, padding);
    }
    return AddAndActivate(DepthwiseConv(x, weight, shift, Activation::kNone, conv.stride, padding),
                          residual, activation);
  }
  at::Tensor operator()(const at::Tensor& weight) const {
    return AddAndActivate(
        at::conv2d(x, weight, bias, conv.stride, conv.padding, /*dilation=*/1, conv.groups),
        residual, activation);
  }

  // Returns whether WinogradConv() and PointwiseConv() apply a ReLU. They know no other activation.
  // Rest() then completes ReLU6, or applies any other activation in full.
  bool relu() const { return activation == Activation::kRelu || activation == Activation::kRelu6; }
  at::Tensor Rest(const at::Tensor& y) const {
    if (activation == Activation::kRelu6) return y.clamp_max_(6);
    return relu() ? y : Activate(y, activation);
  }
};

// Returns conv(x) for training on the CPU, in x's type, by the operator that is fastest for the
// shape.
at::Tensor ConvolveFast(const at::Tensor& x, const Conv& conv) {
  const auto with_bias = [&](at::Tensor y) {
    return conv.bias.defined() ? y.add_(conv.bias.view({-1, 1, 1})) : y;
  };
  if (conv.groups == 1 && !IsNarrowAndStrided(x, conv)) {
    return with_bias(TrainedConv(Padded(x, conv), conv.weight, conv.stride, conv.padding));
  }
  if (RunsDepthwise(ConvType(x), conv)) {
    return TrainedDepthwiseConv(x, conv.weight, conv.bias, conv.stride, PaddingOf(conv, x));
  }
  return Convolve(x, conv);
}

// Returns whether operators of src/ops run on this tensor.
bool IsFused(const at::Tensor& x, const StagePass& pass) { return pass.mode.fused && x.is_cpu(); }

// Counts the batch that a batch norm normalises in training. `pixels`: the number of values of a
// channel. Throws c10::Error where one value a channel has no variance.
void CountBatch(const BatchNorm& norm, int64_t pixels, const StagePass& pass) {
  if (!pass.batch_statistics) return;
  // With shared statistics every rank counts the batch, even a rank without images.
  const bool shared = pass.mode.sum_over_ranks != nullptr;
  if (shared || pixels > 0) norm.num_batches_tracked.add_(1);
  TORCH_CHECK_VALUE(
      shared || pixels != 1,
      "found a training pass of one image whose feature map is 1x1: one value a channel has "
      "no variance for batch norm; expected two images or more in each pass of each rank, or "
      "larger images");
}

// Returns activation(batch_norm(x) + residual) in training.
at::Tensor TrainedNorm(const at::Tensor& x, const BatchNorm& own, const at::Tensor& residual,
                       Activation activation, const StagePass& pass) {
  const ForwardMode& mode = pass.mode;
  const BatchNorm norm = InPass(own, pass);
  CountBatch(norm, x.numel() / x.size(1), pass);
  if (IsFused(x, pass)) {
    return BatchNormAct(x, norm.gamma, norm.beta, norm.running_mean, norm.running_var, residual,
                        activation, pass.batch_statistics, mode.sum_over_ranks, norm.settings);
  }
  const at::Tensor y = pass.batch_statistics && mode.sum_over_ranks != nullptr
                           ? SyncBatchNorm(x, norm.gamma, norm.beta, norm.running_mean,
                                           norm.running_var, mode.sum_over_ranks, norm.settings)
                           : Normalize(x, norm, pass.batch_statistics);
  return AddAndActivate(y, residual, activation);
}

// Returns conv(x) in training, in x's type.
at::Tensor TrainedBareConv(const at::Tensor& x, const Conv& conv, const StagePass& pass) {
  return IsFused(x, pass) ? ConvolveFast(x, conv) : Convolve(x, conv);
}

at::Tensor Trained(const at::Tensor& x, const ConvBn& layer, const at::Tensor& residual,
                   Activation activation, const StagePass& pass) {
  const at::Tensor input = x.to(pass.mode.bfloat16 ? at::kBFloat16 : at::kFloat);
  const at::Tensor y = TrainedBareConv(input, layer.conv, pass);
  // A training step will change the tensors that were folded, and needs the memory.
  layer.folded->reset();
  return TrainedNorm(y, layer.norm, residual, activation, pass);
}

at::Tensor Frozen(const at::Tensor& input, const ConvBn& layer, const at::Tensor& residual,
                  Activation activation, const ForwardMode& mode) {
  const at::NoGradGuard no_grad;
  if (!mode.fused) {
    return AddAndActivate(
        Normalize(Convolve(input, layer.conv), layer.norm, /*batch_statistics=*/false), residual,
        activation);
  }
  // Nothing is kept for backward, so results stay in ConvType(), the type in which convolutions
  // compute.
  const at::Tensor converted = input.to(ConvType(input));
  const at::Tensor x = RunsDepthwise(converted.scalar_type(), layer.conv)
                           ? converted
                           : Padded(converted, layer.conv);
  std::optional<PackedConv>& folded = *layer.folded;
  if (!folded.has_value() || folded->bias.scalar_type() != x.scalar_type()) {
    folded = Fold(layer, x);
  }
  return std::visit(RunPacked{x, layer.conv, folded->bias, residual, activation}, folded->weight);
}

at::Tensor FrozenBareConv(const at::Tensor& input, const BareConv& layer, const ForwardMode& mode) {
  const at::NoGradGuard no_grad;
  const Conv& conv = layer.conv;
  if (!mode.fused) return Convolve(input, conv);
  const at::Tensor x = Padded(input.to(ConvType(input)), conv);
  std::optional<PackedConv>& packed = *layer.packed;
  if (!packed.has_value() || packed->bias.scalar_type() != x.scalar_type()) {
    const at::Tensor bias = at::zeros({conv.weight.size(0)}, conv.weight.options());
    packed = Pack(conv.weight.detach(), bias, conv, x);
  }
  return std::visit(RunPacked{x, conv, packed->bias, /*residual=*/{}, Activation::kNone},
                    packed->weight);
}

}  // namespace

at::Tensor ConvBnAct(const at::Tensor& x, const ConvBn& layer, const at::Tensor& residual,
                     Activation activation, const StagePass& pass) {
  return pass.trained ? Trained(x, layer, residual, activation, pass)
                      : Frozen(x, layer, residual, activation, pass.mode);
}

at::Tensor ConvBnReluPool(const at::Tensor& x, const ConvBn& layer, const StagePass& pass) {
  // Where no gradient is needed, pooling comes before the activation: the result is the same, and
  // the activation has a quarter of the pixels.
  if (!pass.mode.fused || pass.trained) {
    return at::max_pool2d(ConvBnAct(x, layer, {}, Activation::kRelu, pass), 3, 2, 1);
  }
  const at::Tensor y = ConvBnAct(x, layer, {}, Activation::kNone, pass);
  if (MaxPool3x3Runs(y)) return MaxPool3x3(y, /*relu=*/true);
  return at::max_pool2d(y, 3, 2, 1).relu_();
}

at::Tensor BatchNormRelu(const at::Tensor& x, const BatchNorm& norm, const StagePass& pass) {
  if (pass.trained) return TrainedNorm(x, norm, {}, Activation::kRelu, pass);
  const at::NoGradGuard no_grad;
  if (IsFused(x, pass)) {
    return BatchNormAct(x, norm.gamma, norm.beta, norm.running_mean, norm.running_var, {},
                        Activation::kRelu, /*training=*/false, nullptr, norm.settings);
  }
  return Activate(Normalize(x, norm, /*batch_statistics=*/false), Activation::kRelu);
}

at::Tensor RunBareConv(const at::Tensor& x, const BareConv& layer, const StagePass& pass) {
  if (!pass.trained) return FrozenBareConv(x, layer, pass.mode);
  layer.packed->reset();
  return TrainedBareConv(x, layer.conv, pass);
}

at::Tensor DenseConvBnRelu(at::TensorList maps, const BatchNorm& own, const ConvBn& layer,
                           const StagePass& pass) {
  const at::Tensor& first = maps[0];
  if (!pass.trained || !IsFused(first, pass)) {
    const at::Tensor joined = maps.size() == 1 ? first : at::cat(maps, 1);
    return ConvBnAct(BatchNormRelu(joined, own, pass), layer, {}, Activation::kRelu, pass);
  }
  const BatchNorm norm = InPass(own, pass);
  CountBatch(norm, first.numel() / first.size(1), pass);
  layer.folded->reset();
  const at::Tensor y =
      DenseConv(maps, norm.gamma, norm.beta, norm.running_mean, norm.running_var, layer.conv.weight,
                pass.batch_statistics, pass.mode.sum_over_ranks, norm.settings);
  return TrainedNorm(y, layer.norm, {}, Activation::kRelu, pass);
}

at::Tensor ToStoredType(const at::Tensor& x, const StagePass& pass) {
  if (!pass.trained) return x.to(ConvType(x));
  return x.to(pass.mode.bfloat16 ? at::kBFloat16 : at::kFloat);
}

at::Tensor ConvWithBias(const at::Tensor& x, const Conv& conv, const StagePass& pass) {
  const at::ScalarType stored = x.scalar_type(), type = ConvType(x);
  if (pass.mode.fused && x.is_cpu() && RunsDepthwise(type, conv)) {
    return TrainedDepthwiseConv(x, conv.weight, conv.bias, conv.stride, PaddingOf(conv, x));
  }
  return at::conv2d(Padded(x, conv).to(type), RoundedFor(conv.weight, x), RoundedFor(conv.bias, x),
                    conv.stride, conv.padding, /*dilation=*/1, conv.groups)
      .to(stored);
}

at::Tensor ApplyLinear(const at::Tensor& x, const Linear& linear) {
  const at::ScalarType stored = x.scalar_type(), type = ConvType(x);
  const at::Tensor bias = linear.bias.defined() ? RoundedFor(linear.bias, x) : at::Tensor();
  return at::linear(x.to(type), RoundedFor(linear.weight, x), bias).to(stored);
}

at::Tensor ApplyGeluMlp(const at::Tensor& x, const Linear& expand, const Linear& project,
                        const StagePass& pass) {
  if (pass.mode.fused && x.is_cpu()) {
    return GeluMlp(x, {expand.weight, expand.bias, project.weight, project.bias});
  }
  return ApplyLinear(at::gelu(ApplyLinear(x, expand)), project);
}

at::Tensor ApplyLayerNorm(const at::Tensor& x, const LayerNorm& norm) {
  const int64_t channels[] = {norm.gamma.size(0)};
  // LibTorch's kernel for the CPU takes a bfloat16 input with float32 parameters; the one for GPUs
  // does not.
  const at::Tensor input = x.is_cpu() ? x : x.to(at::kFloat);
  return at::layer_norm(input, channels, norm.gamma, norm.beta, norm.epsilon).to(x.scalar_type());
}

at::Tensor ApplyGlobalResponseNorm(const at::Tensor& x, const GlobalResponseNorm& norm) {
  const at::Tensor norms =
      at::linalg_vector_norm(x, /*ord=*/2, {{1, 2}}, /*keepdim=*/true, at::kFloat);
  const at::Tensor factors =
      norms / (norms.mean(at::IntArrayRef{-1}, /*keepdim=*/true) + norm.epsilon);
  return x * (norm.gamma * factors + 1).to(x.scalar_type()) + norm.beta.to(x.scalar_type());
}

at::Tensor SqueezeAndExcite(const at::Tensor& x, const SqueezeExciteLayer& layer,
                            const StagePass& pass) {
  const SqueezeExciteWeights& weights = layer.weights;
  if (pass.mode.fused && x.is_cpu()) {
    return SqueezeExcite(x, weights, layer.activation, layer.gate);
  }
  const at::Tensor means = x.mean({2, 3}, /*keepdim=*/true, at::kFloat);
  const at::Tensor hidden =
      Activate(at::conv2d(means, weights.reduce, weights.reduce_bias), layer.activation);
  const at::Tensor excited = at::conv2d(hidden, weights.expand, weights.expand_bias);
  const at::Tensor factors =
      layer.gate == Gate::kSigmoid ? at::sigmoid(excited) : at::hardsigmoid(excited);
  return x * factors.to(x.scalar_type());
}

}  // namespace finetune
