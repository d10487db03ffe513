#ifndef FINETUNE_OPS_CONV_H_
#define FINETUNE_OPS_CONV_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace finetune {

// The type that convolutions of an input like `x` are computed in: x's own, but float32 for
// bfloat16 on a CPU whose oneDNN cannot multiply it (LibTorch's own kernels take a hundred times as
// long). What is stored then still is bfloat16.
at::ScalarType ConvType(const at::Tensor& x);

// conv(x) with a graph for backward, by whatever is fastest for its shape on a CPU: Winograd's
// algorithm, matrix products or oneDNN's convolution. x: [N, C, H, W] channels-last, float32 or
// bfloat16; weight: [K, C, k, k] float32. Returns x's type; the gradient of the weight is float32,
// channels-last.
at::Tensor TrainedConv(const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                       int64_t padding);

}  // namespace finetune

#endif  // FINETUNE_OPS_CONV_H_
