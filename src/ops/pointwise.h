#ifndef FINETUNE_OPS_POINTWISE_H_
#define FINETUNE_OPS_POINTWISE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/ops/vectors.h"

namespace finetune {

// 1x1 convolutions on the CPU as one matrix product: pixels times kernels. Bias, residual and ReLU
// are applied while a result is still in registers.
//
// Feature maps are channels-last (others are copied), all of one type, float32 or bfloat16, and are
// multiplied in this type. Sums and weights are float32. None of these functions is differentiable
// by autograd. `vectors`: the instruction set to use.

// Returns whether the functions below can compute a convolution of this shape and are faster than
// LibTorch's. x: [N, C, H, W]; weight: [K, C, k, k].
bool PointwiseRuns(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding,
                   Vectors vectors = BestProductVectors());

// A weight in the layout that PointwiseConv() reads.
struct PointwiseWeight {
  // int32 [panels of K, units of a panel], the panels of panel_product.h.
  at::Tensor units;
};

// Packs `weight` [K, C, 1, 1] for convolutions of maps of `type`.
PointwiseWeight PackPointwise(const at::Tensor& weight, at::ScalarType type,
                              Vectors vectors = BestProductVectors());

// Returns conv(x) + bias + residual, [N, K, H', W'] in x's type, or relu() of that where `relu` is
// true. x: [N, C, H, W]; bias: [K] float32; residual: like the result. Undefined bias or residual:
// none.
at::Tensor PointwiseConv(const at::Tensor& x, const PointwiseWeight& weight, const at::Tensor& bias,
                         const at::Tensor& residual, int64_t stride, bool relu,
                         Vectors vectors = BestProductVectors());

// Returns the gradient of the convolution's input, in the shape of `x` and in dy's type. dy: [N, K,
// H', W'], the gradient of the result. weight: [K, C, 1, 1].
at::Tensor PointwiseInputGradient(const at::Tensor& dy, const at::Tensor& weight,
                                  const at::Tensor& x, int64_t stride,
                                  Vectors vectors = BestProductVectors());

}  // namespace finetune

#endif  // FINETUNE_OPS_POINTWISE_H_
