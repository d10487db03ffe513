#ifndef FINETUNE_OPS_MAX_POOL_H_
#define FINETUNE_OPS_MAX_POOL_H_

#include <ATen/core/Tensor.h>

#include "src/ops/vectors.h"

namespace finetune {

// Whether MaxPool3x3 takes x: [N, C, H, W].
bool MaxPool3x3Runs(const at::Tensor& x, Vectors vectors = BestVectors());

// The greatest of every 3x3 pixels, 2 apart, with a padding of 1, as at::max_pool2d(x, 3, 2, 1):
// [N, C, (H + 1) / 2, (W + 1) / 2]. x: channels-last on the CPU, or a copy is made, float32 or
// bfloat16. No gradients, and so none of the places that LibTorch's writes beside the result, which
// take four times its memory and more. With `relu` negative results are 0, which is the same as
// pooling relu(x) and costs nothing. A NaN passes.
at::Tensor MaxPool3x3(const at::Tensor& x, bool relu, Vectors vectors = BestVectors());

}  // namespace finetune

#endif  // FINETUNE_OPS_MAX_POOL_H_
