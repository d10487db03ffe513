#ifndef FINETUNE_OPTIM_LAMB_H_
#define FINETUNE_OPTIM_LAMB_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/strings/string_view.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/optim/layer_passes.h"
#include "src/optim/optimizer.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// LAMB (You et al. 2020, "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes")
// as timm's Lamb defines it, without its clipping of gradients. For a parameter w with gradient g,
// in the t-th iteration of the run, counted from 1:
//   m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g * g;
//   u = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) + weight_decay * w;
//   ratio = |w| / |u|, or 1 where |w| or |u| is 0;  with trust_clip, ratio = min(ratio, 1);
//   w -= lr * ratio * u.
// The ratio of a parameter that does not adapt (see LayerPasses) is 1. The state has two tensors,
// named as in timm: "exp_avg" is m, "exp_avg_sq" is v. It does not contain t, because a resumed run
// knows its iteration.
class Lamb final : public Optimizer {
 public:
  // Checks the config. Errors go to `problems`, which must be those of the message optimizer.lamb.
  static void Check(const LambConfig& config, const Problems& problems);

  Lamb(const LambConfig& config, FlatParameters parameters);

  absl::string_view kind() const override { return "lamb"; }
  void Step(const at::Tensor& gradients, double lr, double scale, int64_t iteration) override;
  TensorList State() const override {
    return {{"exp_avg", average_}, {"exp_avg_sq", square_average_}};
  }

 private:
  void StepOnCpu(const at::Tensor& gradients, double lr, double scale, int64_t iteration);
  void StepOnDevice(const at::Tensor& gradients, double lr, double scale, int64_t iteration);

  const LambConfig config_;
  const at::Tensor average_;         // m
  const at::Tensor square_average_;  // v
  LayerPasses passes_;
};

}  // namespace finetune

#endif  // FINETUNE_OPTIM_LAMB_H_
