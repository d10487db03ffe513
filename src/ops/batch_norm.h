#ifndef FINETUNE_OPS_BATCH_NORM_H_
#define FINETUNE_OPS_BATCH_NORM_H_

#include <ATen/core/Tensor.h>

#include <functional>

#include "absl/status/status.h"
#include "src/ops/activation.h"

namespace finetune {

// PyTorch's defaults.
inline constexpr double kBatchNormEpsilon = 1e-5;
inline constexpr double kBatchNormMomentum = 0.1;

struct BatchNormSettings {
  double epsilon = kBatchNormEpsilon;  // added to each variance before its square root is taken
  // The weight of a new batch's statistics when the running statistics are updated.
  double momentum = kBatchNormMomentum;
};

// Sums a float32 vector over all ranks in place, and returns when the sum is complete. All ranks
// must call it equally often and with vectors of the same length.
using SumOverRanks = std::function<absl::Status(const at::Tensor& values)>;

// Batch norm in training (Ioffe and Szegedy 2015) with the statistics of all ranks' batches
// together, like torch.nn.SyncBatchNorm. x: [N, C, H, W], float32 or bfloat16, N may be 0; gamma,
// beta and the running statistics: [C] float32. Updates the running statistics, equally on every
// rank. Forward and backward call `sum_over_ranks` once each. The gradients of gamma and beta are
// not summed: they are this rank's part. Throws c10::Error with the message when a sum fails.
at::Tensor SyncBatchNorm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                         const at::Tensor& running_mean, const at::Tensor& running_var,
                         const SumOverRanks& sum_over_ranks,
                         const BatchNormSettings& settings = {});

// Returns activation(batch_norm(x) + residual), differentiable by autograd. Forward and backward
// each make two passes over x. Autograd keeps only x and the result, or only x if the activation's
// slope does not follow from its result (SlopeFollowsFromResult()).
//
// x: [N, C, H, W] on the CPU, float32 or bfloat16. If x is not channels-last, it is copied. N may
// be 0. `residual`: like x, or undefined for none; must be undefined for an activation whose slope
// does not follow from its result. If `training` is true, the statistics are those of this rank's
// x, or of all ranks' x if `sum_over_ranks` is set, and the caller must have checked that each
// channel has at least two values. If `training` is false, they are the running statistics.
at::Tensor BatchNormAct(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                        const at::Tensor& running_mean, const at::Tensor& running_var,
                        const at::Tensor& residual, Activation activation, bool training,
                        const SumOverRanks& sum_over_ranks, const BatchNormSettings& settings = {});

}  // namespace finetune

#endif  // FINETUNE_OPS_BATCH_NORM_H_
