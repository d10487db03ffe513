#ifndef FINETUNE_OPS_BATCH_NORM_STEPS_H_
#define FINETUNE_OPS_BATCH_NORM_STEPS_H_

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <utility>

#include "src/ops/activation.h"
#include "src/ops/batch_norm.h"
#include "src/ops/batch_norm_kernels.h"

namespace finetune {

// The forward and backward pass of BatchNormAct() without autograd, for the autograd functions of
// this folder. Maps x, dy and dx are [N, C, H, W] on the CPU, channels-last and dense, all float32
// or all bfloat16. Numbers for each channel are float32 [C].

// Keeps a SumOverRanks in autograd's context from the forward pass to the backward pass.
struct SumHolder : torch::CustomClassHolder {
  explicit SumHolder(SumOverRanks s) : sum(std::move(s)) {}
  SumOverRanks sum;
};

// The statistics with which a forward pass normalises.
struct NormStatistics {
  ChannelStatistics channels;
  // The number of values in each channel: this rank's, or all ranks' with sum_over_ranks.
  double count;
};

// Returns the statistics of x, and updates the running statistics with them. If `training` is
// false, returns a copy of the running statistics. See BatchNormAct() for the other arguments.
NormStatistics FindStatistics(const at::Tensor& x, const at::Tensor& running_mean,
                              const at::Tensor& running_var, bool training,
                              const SumOverRanks& sum_over_ranks, double momentum);

// The factor and the summand by which a batch norm computes its result, x * scale + shift.
struct ScaleShift {
  at::Tensor scale, shift;
};
ScaleShift ScaleShiftOf(const ChannelStatistics& statistics, const at::Tensor& gamma,
                        const at::Tensor& beta, double epsilon);

struct NormGradients {
  at::Tensor dx;  // undefined if it is not wanted
  at::Tensor dgamma, dbeta;
};

// Returns the gradients of x, gamma and beta. `dy`: the gradient of the activation's result.
// `behind`: the activation. `training`: as in the forward pass. `write_g`: if defined, the gradient
// of the activation's input is written to it. Calls sum_over_ranks once if `training` and
// `wants_dx` are true.
NormGradients BackwardOfNorm(const at::Tensor& dy, const ActivationBehind& behind,
                             const at::Tensor& x, const at::Tensor& gamma,
                             const NormStatistics& statistics, double epsilon, bool training,
                             const SumOverRanks& sum_over_ranks, bool wants_dx,
                             const at::Tensor& write_g);

}  // namespace finetune

#endif  // FINETUNE_OPS_BATCH_NORM_STEPS_H_
