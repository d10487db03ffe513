#ifndef FINETUNE_OPS_DEPTHWISE_H_
#define FINETUNE_OPS_DEPTHWISE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/ops/activation.h"
#include "src/ops/vectors.h"

namespace finetune {

// Depthwise convolutions on the CPU: every channel is filtered by its own kernel.
//
// All feature maps of a call are [N, C, H, W] channels-last (others are copied) and have the same
// type, float32 or bfloat16. Sums and weights [C, 1, k, k] are float32. `vectors`: the instruction
// set to use.

// The numbers of rows and columns of zeros around every image.
struct Padding {
  int64_t top, left, bottom, right;
};

// Returns whether the functions below can compute a convolution of maps of `type` with a weight of
// this shape, [K, C / groups, k, k], and this number of groups.
bool DepthwiseRuns(at::ScalarType type, const at::Tensor& weight, int64_t groups,
                   Vectors vectors = BestVectors());

// A weight in the layout that DepthwiseConv() reads.
struct DepthwiseWeight {
  at::Tensor places;  // float32 [k * k, C]
};

DepthwiseWeight PackDepthwise(const at::Tensor& weight);

// Returns activation(conv(x) + bias), [N, C, H', W']. bias: [C] float32, undefined for none. Not
// differentiable by autograd.
at::Tensor DepthwiseConv(const at::Tensor& x, const DepthwiseWeight& weight, const at::Tensor& bias,
                         Activation activation, int64_t stride, const Padding& padding,
                         Vectors vectors = BestVectors());

// Returns the gradient of the convolution's input, in the shape of `x`, for dy [N, C, H', W'], the
// gradient of its result.
at::Tensor DepthwiseInputGradient(const at::Tensor& dy, const DepthwiseWeight& weight,
                                  const at::Tensor& x, int64_t stride, const Padding& padding,
                                  Vectors vectors = BestVectors());

// Returns the gradient of the convolution's weight for dy: [C, 1, kernel, kernel] float32.
at::Tensor DepthwiseWeightGradient(const at::Tensor& dy, const at::Tensor& x, int64_t kernel,
                                   int64_t stride, const Padding& padding,
                                   Vectors vectors = BestVectors());

// Returns conv(x) + bias in x's type, differentiable by autograd; the gradients of weight and bias
// are float32. bias: [C] float32, undefined for none. DepthwiseRuns() must be true for the type
// that the convolution is computed in (ConvType(x)).
at::Tensor TrainedDepthwiseConv(const at::Tensor& x, const at::Tensor& weight,
                                const at::Tensor& bias, int64_t stride, const Padding& padding);

}  // namespace finetune

#endif  // FINETUNE_OPS_DEPTHWISE_H_
