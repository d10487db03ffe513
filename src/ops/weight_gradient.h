#ifndef FINETUNE_OPS_WEIGHT_GRADIENT_H_
#define FINETUNE_OPS_WEIGHT_GRADIENT_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/ops/vectors.h"

namespace finetune {

// The gradient of a convolution's weight as products of matrices, one for each place of the kernel:
// the result's gradients, turned, times the pixels that the place has met.

// Whether ProductWeightGradient takes such a convolution. x: [N, C, H, W] float32 or bfloat16,
// weight: [K, C, k, k].
bool ProductWeightGradientRuns(const at::Tensor& x, const at::Tensor& weight,
                               Vectors vectors = BestProductVectors());

// dy [N, K, H', W'] and x [N, C, H, W], of one type, channels-last, or a copy is made. Returns
// [K, C, kernel, kernel] float32, channels-last.
at::Tensor ProductWeightGradient(const at::Tensor& dy, const at::Tensor& x, int64_t kernel,
                                 int64_t stride, int64_t padding,
                                 Vectors vectors = BestProductVectors());

}  // namespace finetune

#endif  // FINETUNE_OPS_WEIGHT_GRADIENT_H_
