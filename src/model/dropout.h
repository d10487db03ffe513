#ifndef FINETUNE_MODEL_DROPOUT_H_
#define FINETUNE_MODEL_DROPOUT_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/model/forward_context.h"

namespace finetune {

// Dropout (Srivastava et al. 2014), with a graph for backward: each number of x is 0 with this
// probability and else divided by 1 - probability. x: [N, C] float32 on any device; probability in
// [0, 1). Draws are keyed by the seed, context.iteration and the image's index.
//
// Both functions throw c10::Error where the context does not have an index for each of the N
// images.
at::Tensor Dropout(const at::Tensor& x, float probability, uint64_t seed,
                   const ForwardContext& context);

// Stochastic depth (Huang et al. 2016): the same for whole images of a residual branch x [N, C, H,
// W], float32 or bfloat16. `block` tells apart the branches of a network; below 2^16.
at::Tensor DropPath(const at::Tensor& x, float probability, uint64_t seed,
                    const ForwardContext& context, uint32_t block);

}  // namespace finetune

#endif  // FINETUNE_MODEL_DROPOUT_H_
