#include "src/ops/conv.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <tuple>

#include "src/ops/onednn_conv.h"
#include "src/ops/pointwise.h"
#include "src/ops/weight_gradient.h"
#include "src/ops/winograd.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Returns whether Winograd's algorithm is worth the transform of the weight. In training the weight
// changes, so it is transformed each time, which pays only with enough tiles.
bool WinogradPays(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding) {
  return WinogradRuns(x, weight, stride, padding) && WinogradTiles(x) >= 64;
}

// Returns conv(x), by a kernel of this folder where one takes the shape, else by LibTorch.
// `rounded`: for LibTorch the weight is first rounded to this type.
at::Tensor Forward(const at::Tensor& x, const at::Tensor& weight, at::ScalarType rounded,
                   int64_t stride, int64_t padding) {
  const at::ScalarType type = x.scalar_type();
  if (WinogradPays(x, weight, stride, padding)) {
    return WinogradConv(x, TransformWeight(weight, type), {}, {}, /*relu=*/false);
  }
  if (PointwiseRuns(x, weight, stride, padding)) {
    return PointwiseConv(x, PackPointwise(weight, type), {}, {}, stride, /*relu=*/false);
  }
  return at::conv2d(x, weight.to(rounded).to(type), {}, stride, padding);
}

// Returns the gradients of x and of the weight. `dy`: the gradient of the result. The gradient of x
// has x's type. The gradient of the weight may have another type than the weight; the caller
// converts it. A gradient is undefined if wants_dx or wants_dw, respectively, is false.
std::tuple<at::Tensor, at::Tensor> Backward(const at::Tensor& dy, const at::Tensor& x,
                                            const at::Tensor& weight, at::ScalarType rounded,
                                            int64_t stride, int64_t padding, bool wants_dx,
                                            bool wants_dw) {
  at::Tensor dx, dw;
  if (wants_dw && WinogradRuns(x, weight, stride, padding)) {
    dw = WinogradWeightGradient(dy, x);
    wants_dw = false;
  } else if (wants_dw && ProductWeightGradientRuns(x, weight)) {
    dw = ProductWeightGradient(dy, x, weight.size(2), stride, padding);
    wants_dw = false;
  }
  if (wants_dx && WinogradPays(x, weight, stride, padding)) {
    dx = WinogradInputGradient(dy, weight);
    wants_dx = false;
  } else if (wants_dx && PointwiseRuns(x, weight, stride, padding)) {
    dx = PointwiseInputGradient(dy, weight, x, stride);
    wants_dx = false;
  }
  if (wants_dx || wants_dw) {
    const std::array<int64_t, 2> strides = {stride, stride}, paddings = {padding, padding},
                                 ones = {1, 1}, zeros = {0, 0};
    const auto [of_input, of_weight, of_bias] = at::convolution_backward(
        dy, x, weight.to(rounded).to(x.scalar_type()), /*bias_sizes=*/std::nullopt, strides,
        paddings, ones,
        /*transposed=*/false, zeros, /*groups=*/1, {wants_dx, wants_dw, false});
    if (wants_dx) dx = of_input;
    if (wants_dw) dw = of_weight;
  }
  return {dx, dw};
}

struct ConvFunction : torch::autograd::Function<ConvFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            int64_t stride, int64_t padding) {
    context->save_for_backward({x, weight});
    context->saved_data["stride"] = stride;
    context->saved_data["padding"] = padding;
    return ForwardOfConv(x, weight, stride, padding);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto [dx, dw] =
        BackwardOfConv(gradients[0], saved[0], saved[1], context->saved_data["stride"].toInt(),
                       context->saved_data["padding"].toInt(), context->needs_input_grad(0),
                       context->needs_input_grad(1));
    return {dx, dw, {}, {}};
  }
};

}  // namespace

at::ScalarType ConvType(const at::Tensor& x) {
  const bool convert = x.is_cpu() && x.scalar_type() == at::kBFloat16 && !OneDnnHasBfloat16();
  return convert ? at::kFloat : x.scalar_type();
}

at::Tensor RoundedFor(const at::Tensor& parameter, const at::Tensor& x) {
  return parameter.to(x.scalar_type()).to(ConvType(x));
}

at::Tensor ForwardOfConv(const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                         int64_t padding) {
  const at::Tensor y = Forward(x.to(ConvType(x)), weight, x.scalar_type(), stride, padding);
  return y.to(x.scalar_type());
}

ConvGradients BackwardOfConv(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                             int64_t stride, int64_t padding, bool wants_dx, bool wants_dw) {
  const at::ScalarType type = ConvType(x);
  auto [dx, dw] = Backward(dy.to(type), x.to(type), weight, x.scalar_type(), stride, padding,
                           wants_dx, wants_dw);
  if (dx.defined()) dx = dx.to(x.scalar_type());
  if (dw.defined()) dw = dw.to(weight.scalar_type());
  return {dx, dw};
}

at::Tensor TrainedConv(const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                       int64_t padding) {
  return ConvFunction::apply(x, weight, stride, padding);
}

}  // namespace finetune
