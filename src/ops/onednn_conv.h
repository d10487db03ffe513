#ifndef FINETUNE_OPS_ONEDNN_CONV_H_
#define FINETUNE_OPS_ONEDNN_CONV_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace finetune {

// Inference convolutions by oneDNN, with the bias and an optional sum in the same pass (oneDNN's
// "post-ops"). LibTorch has them only as registered operators (mkldnn::_convolution_pointwise and
// others), without C++ functions. None of these functions is differentiable by autograd.

// Returns whether oneDNN can compute bfloat16 convolutions on this CPU.
bool OneDnnHasBfloat16();

// Returns whether the functions below can compute convolutions of inputs like `x`: x is on the CPU,
// oneDNN is enabled and supports x's type here, and LibTorch has registered the operators.
bool OneDnnConvRuns(const at::Tensor& x);

// A weight in the layout that OneDnnConv() reads.
struct OneDnnWeight {
  at::Tensor packed;  // a tensor in LibTorch's opaque mkldnn layout
};

// Packs `weight` [out, in, k, k] in the layout that oneDNN chooses for inputs of x's shape.
OneDnnWeight PackConvWeight(const at::Tensor& weight, const at::Tensor& x, int64_t stride,
                            int64_t padding);

// Returns conv(x) + bias. x: [N, in, H, W] channels-last; bias: [out] in x's type. There is no
// option for an activation, because oneDNN's ReLU turns NaN into 0 and so would hide that a network
// has diverged.
at::Tensor OneDnnConv(const at::Tensor& x, const OneDnnWeight& weight, const at::Tensor& bias,
                      int64_t stride, int64_t padding);

// Writes conv(x) + bias + sum over `sum` and returns it. `sum`: in the shape and type of the
// result.
at::Tensor OneDnnConvAdd(const at::Tensor& x, const OneDnnWeight& weight, const at::Tensor& bias,
                         int64_t stride, int64_t padding, const at::Tensor& sum);

}  // namespace finetune

#endif  // FINETUNE_OPS_ONEDNN_CONV_H_
