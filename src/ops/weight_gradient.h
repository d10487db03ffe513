#ifndef FINETUNE_OPS_WEIGHT_GRADIENT_H_
#define FINETUNE_OPS_WEIGHT_GRADIENT_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/ops/vectors.h"

namespace finetune {

// The gradient of a convolution's weight on the CPU as matrix products (weight_gradient.cc).

// Returns whether ProductWeightGradient() can compute the gradient for these shapes. x: [N, C, H,
// W] float32 or bfloat16; weight: [K, C, k, k].
bool ProductWeightGradientRuns(const at::Tensor& x, const at::Tensor& weight,
                               Vectors vectors = BestProductVectors());

// Returns the gradient of the weight, [K, C, kernel, kernel] float32, channels-last. dy: [N, K, H',
// W'], the gradient of the result; x: [N, C, H, W], the convolution's input. Both have the same
// type and are channels-last (others are copied).
at::Tensor ProductWeightGradient(const at::Tensor& dy, const at::Tensor& x, int64_t kernel,
                                 int64_t stride, int64_t padding,
                                 Vectors vectors = BestProductVectors());

}  // namespace finetune

#endif  // FINETUNE_OPS_WEIGHT_GRADIENT_H_
