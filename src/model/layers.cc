#include "src/model/layers.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>

#include <variant>

#include "src/ops/conv.h"

namespace finetune {
namespace {

bool IsNarrowAndStrided(const at::Tensor& x, const ConvBn& layer) {
  return layer.stride > 1 && layer.weight.size(2) == 1 && layer.weight.size(1) < 16 && x.is_cpu();
}

// By LibTorch's operators. No bias: the batch norm behind it has one. Parameters are float32; x
// says what to compute in.
at::Tensor Convolve(const at::Tensor& x, const ConvBn& layer) {
  const at::ScalarType type = ConvType(x);
  const at::Tensor weight = layer.weight.to(x.scalar_type()).to(type);
  // oneDNN's backward pass of a strided 1x1 convolution writes out of bounds where fewer channels
  // go in than its blocks have (github.com/uxlfoundation/oneDNN/issues/6035). Take out the pixels
  // it would skip, and there is no stride.
  if (IsNarrowAndStrided(x, layer)) {
    const at::Tensor kept =
        x.slice(2, 0, x.size(2), layer.stride).slice(3, 0, x.size(3), layer.stride);
    return at::conv2d(kept.contiguous(at::MemoryFormat::ChannelsLast).to(type), weight)
        .to(x.scalar_type());
  }
  return at::conv2d(x.to(type), weight, {}, layer.stride, layer.padding).to(x.scalar_type());
}

at::Tensor Normalise(const at::Tensor& x, const ConvBn& layer, bool batch_statistics) {
  return at::batch_norm(x, layer.gamma, layer.beta, layer.running_mean, layer.running_var,
                        batch_statistics, kBatchNormMomentum, kBatchNormEpsilon,
                        /*cudnn_enabled=*/true);
}

// Overwrites y; a NaN passes. Batch norm's backward does not read its result, and a convolution's
// neither.
at::Tensor AddAndActivate(const at::Tensor& y, const at::Tensor& residual, bool relu) {
  if (residual.defined()) y.add_(residual);
  return relu ? y.relu_() : y;
}

// w' = w * gamma / sqrt(var + eps), b' = beta - mean * gamma / sqrt(var + eps): in float32, then
// rounded to x's type.
FoldedConv Fold(const ConvBn& layer, const at::Tensor& x) {
  const at::ScalarType type = x.scalar_type();
  const at::Tensor scale = at::rsqrt(layer.running_var.add(kBatchNormEpsilon)).mul_(layer.gamma);
  const at::Tensor exact = layer.weight.mul(scale.view({-1, 1, 1, 1}));
  FoldedConv folded{{}, layer.beta.sub(layer.running_mean.mul(scale)).to(type)};
  if (WinogradRuns(x, exact, layer.stride, layer.padding)) {
    folded.weight = TransformWeight(exact, type);
  } else if (PointwiseRuns(x, exact, layer.stride, layer.padding)) {
    folded.weight = PackPointwise(exact, type);
  } else if (OneDnnConvRuns(x)) {
    folded.weight = PackConvWeight(exact.to(type), x, layer.stride, layer.padding);
  } else {
    folded.weight = exact.to(type);
  }
  return folded;
}

// relu?(conv(x) + bias + residual), one call for each layout of a weight. `residual` is overwritten
// or not.
struct RunFolded {
  const at::Tensor& x;
  const ConvBn& layer;
  const at::Tensor& residual;
  const bool relu;

  at::Tensor operator()(const WinogradWeight& weight) const {
    return WinogradConv(x, weight, bias().to(at::kFloat), residual, relu);
  }
  at::Tensor operator()(const PointwiseWeight& weight) const {
    return PointwiseConv(x, weight, bias().to(at::kFloat), residual, layer.stride, relu);
  }
  at::Tensor operator()(const OneDnnWeight& weight) const {
    const at::Tensor y =
        residual.defined() ? OneDnnConvAdd(x, weight, bias(), layer.stride, layer.padding, residual)
                           : OneDnnConv(x, weight, bias(), layer.stride, layer.padding);
    return AddAndActivate(y, /*residual=*/{}, relu);
  }
  at::Tensor operator()(const at::Tensor& weight) const {
    return AddAndActivate(at::conv2d(x, weight, bias(), layer.stride, layer.padding), residual,
                          relu);
  }

  const at::Tensor& bias() const { return layer.folded->bias; }
};

}  // namespace

at::Tensor TrainedConvBn(const at::Tensor& x, ConvBn& layer, const at::Tensor& residual, bool relu,
                         bool batch_statistics, const ForwardMode& mode) {
  const bool fast = mode.fused && x.is_cpu() && !IsNarrowAndStrided(x, layer);
  const at::Tensor input = x.to(mode.bfloat16 ? at::kBFloat16 : at::kFloat);
  at::Tensor y =
      fast ? TrainedConv(input, layer.weight, layer.stride, layer.padding) : Convolve(input, layer);
  // A training step changes what was folded, and needs the memory.
  layer.Unfold();
  if (batch_statistics) {
    // A counter is the same on all ranks whose statistics are.
    if (mode.sum_over_ranks != nullptr || y.numel() > 0) layer.num_batches_tracked.add_(1);
    if (mode.sum_over_ranks == nullptr) {
      TORCH_CHECK_VALUE(
          y.numel() != y.size(1),
          "found a training pass of one picture whose feature map is 1x1: one value a channel has "
          "no variance for batch norm; expected two pictures or more in each pass of each rank, or "
          "larger pictures");
    }
  }
  if (mode.fused && y.is_cpu()) {
    return BatchNormAct(y, layer.gamma, layer.beta, layer.running_mean, layer.running_var, residual,
                        relu, batch_statistics, mode.sum_over_ranks);
  }
  if (batch_statistics && mode.sum_over_ranks != nullptr) {
    y = SyncBatchNorm(y, layer.gamma, layer.beta, layer.running_mean, layer.running_var,
                      mode.sum_over_ranks);
  } else {
    y = Normalise(y, layer, batch_statistics);
  }
  return AddAndActivate(y, residual, relu);
}

at::Tensor FrozenConvBn(const at::Tensor& input, ConvBn& layer, const at::Tensor& residual,
                        bool relu, const ForwardMode& mode) {
  const at::NoGradGuard no_grad;
  if (!mode.fused) {
    return AddAndActivate(Normalise(Convolve(input, layer), layer, /*batch_statistics=*/false),
                          residual, relu);
  }
  // Nothing of this is kept: from the first such layer on all stays in the type it is computed in.
  const at::Tensor x = input.to(ConvType(input));
  if (!layer.folded.has_value() || layer.folded->bias.scalar_type() != x.scalar_type()) {
    layer.folded = Fold(layer, x);
  }
  return std::visit(RunFolded{x, layer, residual, relu}, layer.folded->weight);
}

}  // namespace finetune
