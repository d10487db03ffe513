#include "src/model/layers.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>

#include <string>
#include <vector>

namespace finetune {
namespace {

constexpr double kEpsilon = 1e-5;
constexpr double kMomentum = 0.1;

// LibTorch registers oneDNN's fused convolutions as operators without a C++ function.
const c10::OperatorHandle* FindOperator(const char* name, const char* overload) {
  const auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
  return handle.has_value() ? new c10::OperatorHandle(*handle) : nullptr;
}

struct OneDnnOperators {
  const c10::OperatorHandle* pointwise = FindOperator("mkldnn::_convolution_pointwise", "");
  const c10::OperatorHandle* binary = FindOperator("mkldnn::_convolution_pointwise_", "binary");
  const c10::OperatorHandle* reorder = FindOperator("mkldnn::_reorder_convolution_weight", "");
  bool all() const { return pointwise != nullptr && binary != nullptr && reorder != nullptr; }
};

const OneDnnOperators& OneDnn() {
  static const OneDnnOperators operators;
  return operators;
}

at::Tensor Call(const c10::OperatorHandle& op, std::vector<c10::IValue> arguments) {
  op.callBoxed(&arguments);
  return arguments.front().toTensor();
}

bool UsesOneDnn(const at::Tensor& x) {
  return x.is_cpu() && at::globalContext().userEnabledMkldnn() && OneDnn().all();
}

c10::List<std::optional<at::Scalar>> NoScalars() { return c10::List<std::optional<at::Scalar>>(); }

// w' = w * gamma / sqrt(var + eps), b' = beta - mean * gamma / sqrt(var + eps).
void Fold(ConvBn& layer, const at::Tensor& x) {
  const at::Tensor scale = at::rsqrt(layer.running_var.add(kEpsilon)).mul_(layer.gamma);
  at::Tensor weight = layer.weight.mul(scale.view({-1, 1, 1, 1})).to(x.scalar_type());
  layer.folded_bias = layer.beta.sub(layer.running_mean.mul(scale)).to(x.scalar_type());
  if (UsesOneDnn(x)) {
    const std::vector<int64_t> pads(2, layer.padding), strides(2, layer.stride), dilations(2, 1);
    weight =
        Call(*OneDnn().reorder, {weight, pads, strides, dilations, int64_t{1}, x.sizes().vec()});
  }
  layer.folded_weight = weight;
}

}  // namespace

at::Tensor TrainedConvBn(const at::Tensor& x, ConvBn& layer, const at::Tensor& residual, bool relu,
                         bool batch_statistics, const ForwardMode& mode) {
  const at::Tensor weight = mode.bfloat16 ? layer.weight.to(at::kBFloat16) : layer.weight;
  at::Tensor y = at::conv2d(x, weight, {}, layer.stride, layer.padding);
  y = at::batch_norm(y, layer.gamma, layer.beta, layer.running_mean, layer.running_var,
                     batch_statistics, kMomentum, kEpsilon, /*cudnn_enabled=*/true);
  if (batch_statistics) layer.num_batches_tracked.add_(1);
  // Batch norm's backward does not read its result, so what follows may overwrite it.
  if (residual.defined()) y.add_(residual);
  return relu ? y.relu_() : y;
}

at::Tensor FrozenConvBn(const at::Tensor& x, ConvBn& layer, const at::Tensor& residual, bool relu,
                        const ForwardMode& mode) {
  if (!mode.fused) {
    const at::Tensor weight = mode.bfloat16 ? layer.weight.to(at::kBFloat16) : layer.weight;
    at::Tensor y = at::conv2d(x, weight, {}, layer.stride, layer.padding);
    y = at::batch_norm(y, layer.gamma, layer.beta, layer.running_mean, layer.running_var,
                       /*training=*/false, kMomentum, kEpsilon, /*cudnn_enabled=*/true);
    if (residual.defined()) y.add_(residual);
    return relu ? y.relu_() : y;
  }
  if (!layer.folded_weight.defined() || layer.folded_bias.scalar_type() != x.scalar_type()) {
    Fold(layer, x);
  }
  if (!UsesOneDnn(x)) {
    at::Tensor y =
        at::conv2d(x, layer.folded_weight, layer.folded_bias, layer.stride, layer.padding);
    if (residual.defined()) y.add_(residual);
    return relu ? y.relu_() : y;
  }
  const std::vector<int64_t> pads(2, layer.padding), strides(2, layer.stride), dilations(2, 1);
  if (residual.defined()) {
    // The in-place form adds into `residual`, which is nobody's else once the block is done with
    // it.
    return Call(
        *OneDnn().binary,
        {residual, x, layer.folded_weight, layer.folded_bias, pads, strides, dilations, int64_t{1},
         std::string("add"), at::Scalar(1.0),
         relu ? c10::IValue(std::string("relu")) : c10::IValue(), NoScalars(), c10::IValue()});
  }
  return Call(*OneDnn().pointwise,
              {x, layer.folded_weight, layer.folded_bias, pads, strides, dilations, int64_t{1},
               std::string(relu ? "relu" : "none"), NoScalars(), std::string("")});
}

}  // namespace finetune
