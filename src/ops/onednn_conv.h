#ifndef FINETUNE_OPS_ONEDNN_CONV_H_
#define FINETUNE_OPS_ONEDNN_CONV_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace finetune {

// Inference convolutions with what follows them done in the same pass, by oneDNN's post-ops.
// LibTorch registers them as operators (mkldnn::_convolution_pointwise and its kin) without giving
// them C++ functions. No gradients.

// Whether it has convolutions of bfloat16 for this CPU.
bool OneDnnHasBfloat16();

// Whether they can run for inputs like `x`: on a CPU that knows its type, in a LibTorch that has
// them.
bool OneDnnConvRuns(const at::Tensor& x);

// A weight as OneDnnConv multiplies it.
struct OneDnnWeight {
  at::Tensor packed;  // a tensor of LibTorch's mkldnn layout, without strides
};

// Packs `weight` [out, in, k, k] in the layout that oneDNN chooses for inputs of x's shape.
OneDnnWeight PackConvWeight(const at::Tensor& weight, const at::Tensor& x, int64_t stride,
                            int64_t padding);

// conv(x) + bias. x: [N, in, H, W] channels-last; bias: [out], of x's type. Without an activation:
// oneDNN's ReLU makes 0 of NaN, and so would hide that a network has diverged.
at::Tensor OneDnnConv(const at::Tensor& x, const OneDnnWeight& weight, const at::Tensor& bias,
                      int64_t stride, int64_t padding);

// conv(x) + bias + sum, written over `sum`, which is returned.
at::Tensor OneDnnConvAdd(const at::Tensor& x, const OneDnnWeight& weight, const at::Tensor& bias,
                         int64_t stride, int64_t padding, const at::Tensor& sum);

}  // namespace finetune

#endif  // FINETUNE_OPS_ONEDNN_CONV_H_
