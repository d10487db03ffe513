#ifndef FINETUNE_OPTIM_ADAMW_H_
#define FINETUNE_OPTIM_ADAMW_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/strings/string_view.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/optim/optimizer.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch.optim.AdamW defines it.
// For a parameter w with gradient g, in the t-th iteration of the run, counted from 1:
//   m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g * g;
//   w -= lr * weight_decay * w;
//   w -= lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon).
// The state has two tensors, named as in PyTorch: "exp_avg" is m, "exp_avg_sq" is v. It does not
// contain t, because a resumed run knows its iteration.
class AdamW final : public Optimizer {
 public:
  // Checks the config. Errors go to `problems`, which must be those of the message optimizer.adamw.
  static void Check(const AdamWConfig& config, const Problems& problems);

  AdamW(const AdamWConfig& config, FlatParameters parameters);

  absl::string_view kind() const override { return "adamw"; }
  void Step(const at::Tensor& gradients, double lr, double scale, int64_t iteration) override;
  TensorList State() const override {
    return {{"exp_avg", average_}, {"exp_avg_sq", square_average_}};
  }

 private:
  const AdamWConfig config_;
  const at::Tensor average_;         // m
  const at::Tensor square_average_;  // v
};

}  // namespace finetune

#endif  // FINETUNE_OPTIM_ADAMW_H_
