#ifndef FINETUNE_OPS_BATCH_NORM_KERNELS_H_
#define FINETUNE_OPS_BATCH_NORM_KERNELS_H_

#include <ATen/core/Tensor.h>

#include "src/ops/activation.h"

namespace finetune {

// The passes over memory of batch norm in training, with the residual add and the activation that
// follow it. Tensors x, y, residual, dy, g and dx are [N, C, H, W] on the CPU, channels-last and
// dense, all float32 or all bfloat16. Numbers for each channel are float32 [C]. The same number of
// threads gives the same bits.

struct ChannelStatistics {
  at::Tensor mean, var;  // var is divided by the count, not by count - 1
};

// Returns the mean and variance of each channel of x in one pass. Both are 0 where x is empty.
ChannelStatistics StatisticsOf(const at::Tensor& x);

// Returns activation(x * scale + shift + residual) in one pass. `residual`: undefined for none.
at::Tensor ScaleShiftAddAct(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                            const at::Tensor& residual, Activation activation);

struct ChannelGradientSums {
  at::Tensor g, gx;  // sum g and sum g * (x - mean)
};

// The activation that follows a batch norm, with the tensors from which the backward pass computes
// its slope.
struct ActivationBehind {
  Activation activation;
  // The activation's result, if SlopeFollowsFromResult(activation). Otherwise undefined.
  at::Tensor y;
  // If the slope does not follow from the result: the activation's input is x * scale + shift.
  // float32 [C]. Otherwise undefined.
  at::Tensor scale = {}, shift = {};
};

// Returns the sums of g and of g * (x - mean) for each channel, in one pass over dy and x. g is dy
// times the activation's slope. If `write_g` is defined, writes g to it.
ChannelGradientSums GradientSumsOf(const at::Tensor& dy, const ActivationBehind& of,
                                   const at::Tensor& x, const at::Tensor& mean,
                                   const at::Tensor& write_g);

// Returns g * a + x * b + c in one pass, with g as in GradientSumsOf().
at::Tensor InputGradient(const at::Tensor& dy, const ActivationBehind& of, const at::Tensor& x,
                         const at::Tensor& a, const at::Tensor& b, const at::Tensor& c);

}  // namespace finetune

#endif  // FINETUNE_OPS_BATCH_NORM_KERNELS_H_
