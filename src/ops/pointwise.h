#ifndef FINETUNE_OPS_POINTWISE_H_
#define FINETUNE_OPS_POINTWISE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/ops/vectors.h"

namespace finetune {

// 1x1 convolutions on the CPU as what they are: the product of a matrix of pixels and one of
// kernels. What follows is done while a result is in registers.
//
// Feature maps are channels-last, or a copy is made, of one type, float32 or bfloat16, in which
// they are multiplied; sums and weights are float32. No gradients. `vectors` says which
// instructions to use.

// Whether the functions below take such a convolution, and are the faster way. x: [N, C, H, W];
// weight: [K, C, k, k].
bool PointwiseRuns(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding,
                   Vectors vectors = BestProductVectors());

// A weight as PointwiseConv multiplies it.
struct PointwiseWeight {
  at::Tensor units;  // int32 [K / panel, C * panel / numbers a unit]: panels of panel_product.h
};

// Packs `weight` [K, C, 1, 1] for maps of `type`.
PointwiseWeight PackPointwise(const at::Tensor& weight, at::ScalarType type,
                              Vectors vectors = BestProductVectors());

// relu?(conv(x) + bias + residual): [N, K, H', W']. bias [K] float32 and residual, like the result,
// are undefined for none.
at::Tensor PointwiseConv(const at::Tensor& x, const PointwiseWeight& weight, const at::Tensor& bias,
                         const at::Tensor& residual, int64_t stride, bool relu,
                         Vectors vectors = BestProductVectors());

// The gradient of such a convolution's input like `x` for that of its result, dy [N, K, H', W'].
at::Tensor PointwiseInputGradient(const at::Tensor& dy, const at::Tensor& weight,
                                  const at::Tensor& x, int64_t stride,
                                  Vectors vectors = BestProductVectors());

}  // namespace finetune

#endif  // FINETUNE_OPS_POINTWISE_H_
