#ifndef FINETUNE_OPS_MAX_POOL_H_
#define FINETUNE_OPS_MAX_POOL_H_

#include <ATen/core/Tensor.h>

#include "src/ops/vectors.h"

namespace finetune {

// Returns whether MaxPool3x3() can compute the pooling of x: [N, C, H, W].
bool MaxPool3x3Runs(const at::Tensor& x, Vectors vectors = BestVectors());

// Returns at::max_pool2d(x, 3, 2, 1), the maximum over 3x3 windows with stride 2 and padding 1:
// [N, C, (H + 1) / 2, (W + 1) / 2]. x: on the CPU, float32 or bfloat16, channels-last (else it is
// copied). Not differentiable by autograd, so it does not store the indices of the maxima, for
// which LibTorch needs at least four times the result's memory. `relu`: returns the pooling of
// relu(x) at no extra cost. The maximum of a window with a NaN is NaN.
at::Tensor MaxPool3x3(const at::Tensor& x, bool relu, Vectors vectors = BestVectors());

}  // namespace finetune

#endif  // FINETUNE_OPS_MAX_POOL_H_
