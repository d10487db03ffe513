#ifndef FINETUNE_OPTIM_LARS_H_
#define FINETUNE_OPTIM_LARS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/strings/string_view.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/optim/layer_passes.h"
#include "src/optim/optimizer.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// LARS (You et al. 2017, "Large Batch Training of Convolutional Networks") as timm's Lars defines
// it. For a parameter w with gradient g:
//   ratio = trust_coefficient * |w| / (|g| + weight_decay * |w| + epsilon), or 1 where |w| or |g|
//   is 0;  with trust_clip, ratio = min(ratio / lr, 1);
//   g = ratio * (g + weight_decay * w);  v = momentum * v + g;
//   w -= lr * (nesterov ? g + momentum * v : v).
// The ratio of a parameter that does not adapt (see LayerPasses) is 1. The state has one tensor,
// "momentum", which is v. It starts at 0. timm starts v at the first g, which gives the same v
// after the first step.
class Lars final : public Optimizer {
 public:
  // Checks the config. Errors go to `problems`, which must be those of the message optimizer.lars.
  static void Check(const LarsConfig& config, const Problems& problems);

  Lars(const LarsConfig& config, FlatParameters parameters);

  absl::string_view kind() const override { return "lars"; }
  void Step(const at::Tensor& gradients, double lr, double scale, int64_t iteration) override;
  TensorList State() const override { return {{"momentum", momentum_}}; }

 private:
  void StepOnCpu(const at::Tensor& gradients, double lr, double scale);
  void StepOnDevice(const at::Tensor& gradients, double lr, double scale);

  const LarsConfig config_;
  const at::Tensor momentum_;
  LayerPasses passes_;
};

}  // namespace finetune

#endif  // FINETUNE_OPTIM_LARS_H_
