#ifndef FINETUNE_MODEL_DROPOUT_H_
#define FINETUNE_MODEL_DROPOUT_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/model/forward_context.h"

namespace finetune {

// Dropout (Srivastava et al. 2014), differentiable by autograd. Sets each element of x to 0 with
// probability `probability` and divides it by 1 - probability otherwise. x: [N, C] float32 on any
// device; probability in [0, 1). The draws depend only on the seed, context.iteration, the image's
// index and `layer`, which differs among the network's dropout layers.
//
// Both functions throw c10::Error where context.indices does not have N elements.
at::Tensor Dropout(const at::Tensor& x, float probability, uint64_t seed,
                   const ForwardContext& context, uint32_t layer = 0);

// Stochastic depth (Huang et al. 2016): drops or keeps the whole residual branch of an image in the
// same way. x: the branch, [N, ...] float32 or bfloat16. `block`: the branch's number in the
// network, below 2^16, so that each branch has its own draws.
at::Tensor DropPath(const at::Tensor& x, float probability, uint64_t seed,
                    const ForwardContext& context, uint32_t block);

}  // namespace finetune

#endif  // FINETUNE_MODEL_DROPOUT_H_
