#ifndef FINETUNE_OPS_DEPTHWISE_H_
#define FINETUNE_OPS_DEPTHWISE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/ops/activation.h"
#include "src/ops/vectors.h"

namespace finetune {

// Depthwise convolutions on the CPU: every channel is filtered by its own kernel.
//
// Feature maps are [N, C, H, W] channels-last, or a copy is made, of one type, float32 or bfloat16;
// sums and weights [C, 1, k, k] are float32. `vectors` says which instructions to use.

// Zeros around every image.
struct Padding {
  int64_t top, left, bottom, right;
};

// Whether the functions below take such a convolution of maps of this type. weight: [K, C / groups,
// k, k].
bool DepthwiseRuns(at::ScalarType type, const at::Tensor& weight, int64_t groups,
                   Vectors vectors = BestVectors());

// A weight as DepthwiseConv reads it.
struct DepthwiseWeight {
  at::Tensor places;  // float32 [k * k, C]
};

DepthwiseWeight PackDepthwise(const at::Tensor& weight);

// activation(conv(x) + bias): [N, C, H', W']. bias: [C] float32, undefined for none. No gradients.
at::Tensor DepthwiseConv(const at::Tensor& x, const DepthwiseWeight& weight, const at::Tensor& bias,
                         Activation activation, int64_t stride, const Padding& padding,
                         Vectors vectors = BestVectors());

// The gradient of such a convolution's input like `x` for that of its result, dy [N, C, H', W'].
at::Tensor DepthwiseInputGradient(const at::Tensor& dy, const DepthwiseWeight& weight,
                                  const at::Tensor& x, int64_t stride, const Padding& padding,
                                  Vectors vectors = BestVectors());

// The gradient of its weight, [C, 1, kernel, kernel] float32.
at::Tensor DepthwiseWeightGradient(const at::Tensor& dy, const at::Tensor& x, int64_t kernel,
                                   int64_t stride, const Padding& padding,
                                   Vectors vectors = BestVectors());

// conv(x) with a graph for backward. Returns x's type; the gradient of the weight is float32.
// DepthwiseRuns() must hold for the type that x is computed in (ConvType).
at::Tensor TrainedDepthwiseConv(const at::Tensor& x, const at::Tensor& weight, int64_t stride,
                                const Padding& padding);

}  // namespace finetune

#endif  // FINETUNE_OPS_DEPTHWISE_H_
