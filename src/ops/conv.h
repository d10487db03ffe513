#ifndef FINETUNE_OPS_CONV_H_
#define FINETUNE_OPS_CONV_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace finetune {

// Returns the type that convolutions of `x` are computed in: x's own type, but float32 for bfloat16
// on a CPU where oneDNN cannot multiply bfloat16. There LibTorch's own bfloat16 kernels would take
// a hundred times as long. The stored maps stay bfloat16.
at::ScalarType ConvType(const at::Tensor& x);

// Returns a float32 parameter as it is multiplied with `x`: rounded to x's type, in ConvType(x).
at::Tensor RoundedFor(const at::Tensor& parameter, const at::Tensor& x);

// Returns conv(x), differentiable by autograd. Chooses the fastest algorithm on a CPU for the
// shape: Winograd's, matrix products or oneDNN's convolution. x: [N, C, H, W] channels-last,
// float32 or bfloat16; weight: [K, C, k, k] float32. The result has x's type. The gradient of the
// weight is float32, channels-last.
at::Tensor TrainedConv(const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                       int64_t padding);

// TrainedConv()'s forward and backward pass without autograd, for the autograd functions of this
// folder. `dy`: the gradient of the result. A gradient is undefined if it is not wanted.
struct ConvGradients {
  at::Tensor dx;  // in x's type
  at::Tensor dw;  // float32
};
at::Tensor ForwardOfConv(const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                         int64_t padding);
ConvGradients BackwardOfConv(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                             int64_t stride, int64_t padding, bool wants_dx, bool wants_dw);

}  // namespace finetune

#endif  // FINETUNE_OPS_CONV_H_
