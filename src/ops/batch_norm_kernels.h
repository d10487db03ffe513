#ifndef FINETUNE_OPS_BATCH_NORM_KERNELS_H_
#define FINETUNE_OPS_BATCH_NORM_KERNELS_H_

#include <ATen/core/Tensor.h>

#include "src/ops/activation.h"

namespace finetune {

// The passes over memory that a batch norm in training and what follows it are made of. Tensors x,
// y, residual, dy, g and dx are [N, C, H, W] on the CPU, channels-last and dense, all float32 or
// all bfloat16; what is computed a channel is float32 [C]. Sums run over fixed parts of the rows,
// one a thread, in double beyond a few hundred rows: the same bits for as many threads.

struct ChannelStatistics {
  at::Tensor mean, var;  // var is divided by the count, not by count - 1
};

// Of one pass over x. Zeros where x is empty.
ChannelStatistics StatisticsOf(const at::Tensor& x);

// act(x * scale + shift + residual), in one pass; `residual` is undefined for none.
at::Tensor ScaleShiftAddAct(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                            const at::Tensor& residual, Activation activation);

struct ChannelGradientSums {
  at::Tensor g, gx;  // sum g and sum g * (x - mean)
};

// Of one pass over dy and x. g is dy where the activation of the result y has a slope, else 0; y is
// not read for kNone. Writes g to `write_g` where that is defined.
ChannelGradientSums GradientSumsOf(const at::Tensor& dy, const at::Tensor& y, Activation activation,
                                   const at::Tensor& x, const at::Tensor& mean,
                                   const at::Tensor& write_g);

// g * a + x * b + c, in one pass; g as above.
at::Tensor InputGradient(const at::Tensor& dy, const at::Tensor& y, Activation activation,
                         const at::Tensor& x, const at::Tensor& a, const at::Tensor& b,
                         const at::Tensor& c);

}  // namespace finetune

#endif  // FINETUNE_OPS_BATCH_NORM_KERNELS_H_
