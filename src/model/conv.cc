#include "src/model/conv.h"

#include <ATen/ops/constant_pad_nd.h>
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

// A weight that changes is transformed each time; that wants to be used for some tiles.
bool WinogradPays(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding) {
  return WinogradRuns(x, weight, stride, padding) && WinogradTiles(x) >= 64;
}

// A channels-last feature map as the matrix [N * H * W, C] that it is in memory.
at::Tensor Rows(const at::Tensor& map) {
  return map.permute({0, 2, 3, 1}).contiguous().view({-1, map.size(1)});
}

// In float32 oneDNN's kernels for the gradients of such weights reach half of the rate of a matrix
// product, or a third.
bool SumsMatrixProducts(const at::Tensor& x, const at::Tensor& weight, int64_t stride) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && x.size(1) >= 32 && weight.size(0) >= 32 &&
         (weight.size(2) == 1 || stride > 1);
}

// The gradient of `weight`, [K, C, k, k] channels-last: at each place of the kernel it is dy's rows
// times those of the pixels that the place has met.
at::Tensor WeightGradientAsProducts(const at::Tensor& dy, const at::Tensor& x,
                                    const at::Tensor& weight, int64_t stride, int64_t padding) {
  at::Tensor dw = at::empty(weight.sizes(), x.options(), at::MemoryFormat::ChannelsLast);
  const at::Tensor slopes = Rows(dy).t();
  const at::Tensor padded =
      padding == 0 ? x : at::constant_pad_nd(x, {padding, padding, padding, padding});
  const int64_t down = stride * (dy.size(2) - 1) + 1, across = stride * (dy.size(3) - 1) + 1;
  for (int64_t i = 0; i < weight.size(2); ++i) {
    for (int64_t j = 0; j < weight.size(3); ++j) {
      const at::Tensor met = padded.slice(2, i, i + down, stride).slice(3, j, j + across, stride);
      at::Tensor place = dw.select(3, j).select(2, i);
      at::mm_out(place, slopes, Rows(met));
    }
  }
  return dw;
}

// The gradients of a convolution in x's type; undefined where not wanted.
std::tuple<at::Tensor, at::Tensor> Backward(const at::Tensor& dy, const at::Tensor& x,
                                            const at::Tensor& weight, int64_t stride,
                                            int64_t padding, bool wants_dx, bool wants_dw) {
  at::Tensor dx, dw;
  if (wants_dw && WinogradRuns(x, weight, stride, padding)) {
    dw = WinogradWeightGradient(dy, x);
    wants_dw = false;
  } else if (wants_dw && SumsMatrixProducts(x, weight, stride)) {
    dw = WeightGradientAsProducts(dy, x, weight, stride, padding);
    wants_dw = false;
  }
  if (wants_dx && WinogradPays(x, weight, stride, padding)) {
    dx = WinogradInputGradient(dy, weight);
    wants_dx = false;
  }
  if (wants_dx || wants_dw) {
    const std::array<int64_t, 2> strides = {stride, stride}, paddings = {padding, padding},
                                 ones = {1, 1}, zeros = {0, 0};
    const auto [of_input, of_weight, of_bias] = at::convolution_backward(
        dy, x, weight, /*bias_sizes=*/std::nullopt, strides, paddings, ones,
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
    const at::ScalarType type = ConvType(x);
    const at::Tensor input = x.to(type), rounded = weight.to(x.scalar_type()).to(type);
    const at::Tensor y = WinogradPays(input, rounded, stride, padding)
                             ? WinogradConv(input, rounded)
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
