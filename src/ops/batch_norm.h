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
  double epsilon = kBatchNormEpsilon;  // is added to a variance
  // The weight of a batch in the running statistics.
  double momentum = kBatchNormMomentum;
};

// Sums a float32 vector over all ranks, in place, and returns when the sum is there. All ranks call
// it as often and with vectors as long.
using SumOverRanks = std::function<absl::Status(const at::Tensor& values)>;

// Batch norm in training (Ioffe and Szegedy 2015) whose batch is that of all ranks together, as
// torch.nn.SyncBatchNorm's. x: [N, C, H, W], float32 or bfloat16, N may be 0; gamma, beta and the
// running statistics: [C] float32. Updates the running statistics, the same on every rank. One sum
// over the ranks forward, and one backward, in which the gradients of gamma and beta stay this
// rank's own part. A sum that fails is a c10::Error with its message.
at::Tensor SyncBatchNorm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                         const at::Tensor& running_mean, const at::Tensor& running_var,
                         const SumOverRanks& sum_over_ranks,
                         const BatchNormSettings& settings = {});

// act(batch_norm(x) + residual), with a graph for backward, in two passes over x forward and two
// backward; what autograd keeps is x and the result. For x: [N, C, H, W] on the CPU, float32 or
// bfloat16, channels-last (or a copy is made), N may be 0, with `residual` (undefined for none)
// like it. Statistics are x's own, with `sum_over_ranks` those of all ranks' x as in SyncBatchNorm,
// and with `training` false the running ones. Whoever calls it has checked that there is a
// variance.
at::Tensor BatchNormAct(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                        const at::Tensor& running_mean, const at::Tensor& running_var,
                        const at::Tensor& residual, Activation activation, bool training,
                        const SumOverRanks& sum_over_ranks, const BatchNormSettings& settings = {});

}  // namespace finetune

#endif  // FINETUNE_OPS_BATCH_NORM_H_
