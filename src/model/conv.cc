#include "src/model/conv.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <tuple>

#include "src/model/onednn_conv.h"
#include "src/model/winograd.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A channels-last feature map as the matrix [N * H * W, C] that it is in memory.
at::Tensor Rows(const at::Tensor& map) {
  return map.permute({0, 2, 3, 1}).contiguous().view({-1, map.size(1)});
}

// In float32 oneDNN's kernels for this reach half of the rate of a matrix product.
bool IsMatrixProduct(const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
  return x.scalar_type() == at::kFloat && weight.size(2) == 1 && weight.size(3) == 1 && stride == 1;
}

at::Tensor WeightGradientAsProduct(const at::Tensor& dy, const at::Tensor& x) {
  at::Tensor dw =
      at::empty({dy.size(1), x.size(1), 1, 1}, x.options(), at::MemoryFormat::ChannelsLast);
  at::Tensor matrix = dw.view({dy.size(1), x.size(1)});
  at::mm_out(matrix, Rows(dy).t(), Rows(x));
  return dw;
}

// The gradients of a convolution in x's type; undefined where not wanted.
std::tuple<at::Tensor, at::Tensor> Backward(const at::Tensor& dy, const at::Tensor& x,
                                            const at::Tensor& weight, int64_t stride,
                                            int64_t padding, bool wants_dx, bool wants_dw) {
  at::Tensor dx, dw;
  if (WinogradRuns(x, weight, stride, padding)) {
    if (wants_dw) dw = WinogradWeightGradient(dy, x);
    if (wants_dx) dx = WinogradInputGradient(dy, weight);
    return {dx, dw};
  }
  if (wants_dw && IsMatrixProduct(x, weight, stride)) {
    dw = WeightGradientAsProduct(dy, x);
    wants_dw = false;
  }
  if (wants_dx || wants_dw) {
    const std::array<int64_t, 2> strides = {stride, stride}, paddings = {padding, padding},
                                 ones = {1, 1}, zeros = {0, 0};
    at::Tensor of_weight;
    std::tie(dx, of_weight, std::ignore) = at::convolution_backward(
        dy, x, weight, /*bias_sizes=*/std::nullopt, strides, paddings, ones,
        /*transposed=*/false, zeros, /*groups=*/1, {wants_dx, wants_dw, false});
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
    const at::ScalarType type = ConvType(x);
    const at::Tensor input = x.to(type), rounded = weight.to(x.scalar_type()).to(type);
    const at::Tensor y = WinogradRuns(input, rounded, stride, padding)
                             ? WinogradConv(input, TransformWeight(rounded), {}, {}, /*relu=*/false)
                             : at::conv2d(input, rounded, {}, stride, padding);
    return y.to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const at::ScalarType type = ConvType(x);
    auto [dx, dw] =
        Backward(gradients[0].to(type), x.to(type), weight.to(x.scalar_type()).to(type),
                 context->saved_data["stride"].toInt(), context->saved_data["padding"].toInt(),
                 context->needs_input_grad(0), context->needs_input_grad(1));
    if (dx.defined()) dx = dx.to(x.scalar_type());
    if (dw.defined()) dw = dw.to(weight.scalar_type());
    return {dx, dw, {}, {}};
  }
};

}  // namespace

at::ScalarType ConvType(const at::Tensor& x) {
  const bool convert = x.is_cpu() && x.scalar_type() == at::kBFloat16 && !OneDnnHasBfloat16();
  return convert ? at::kFloat : x.scalar_type();
}

at::Tensor TrainedConv(const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                       int64_t padding) {
  return ConvFunction::apply(x, weight, stride, padding);
}

}  // namespace finetune
