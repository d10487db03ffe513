#ifndef FINETUNE_OPS_DENSE_CONV_H_
#define FINETUNE_OPS_DENSE_CONV_H_

#include <ATen/core/Tensor.h>

#include "src/ops/batch_norm.h"

namespace finetune {

// Returns conv(relu(batch_norm(cat(maps)))), the first half of a layer of DenseNet, differentiable
// by autograd: [N, K, H, W] channels-last, in the maps' type. The convolution has a stride of 1 and
// no padding.
//
// maps: one or more, [N, C_i, H, W] on the CPU, all float32 or all bfloat16. C is the sum of all
// C_i. gamma, beta and the running statistics: [C] float32. weight: [K, C, 1, 1] float32. For
// `training`, `sum_over_ranks` and `settings` see BatchNormAct().
//
// Autograd keeps only the maps, which all layers of a block share. So a block needs memory for
// training that is linear in its layers.
at::Tensor DenseConv(at::TensorList maps, const at::Tensor& gamma, const at::Tensor& beta,
                     const at::Tensor& running_mean, const at::Tensor& running_var,
                     const at::Tensor& weight, bool training, const SumOverRanks& sum_over_ranks,
                     const BatchNormSettings& settings = {});

}  // namespace finetune

#endif  // FINETUNE_OPS_DENSE_CONV_H_
