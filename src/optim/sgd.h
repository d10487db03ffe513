#ifndef FINETUNE_OPTIM_SGD_H_
#define FINETUNE_OPTIM_SGD_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/strings/string_view.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/optim/optimizer.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Stochastic gradient descent as torch.optim.SGD defines it, for a parameter w with gradient g:
//   g += weight_decay * w;  v = momentum * v + g;  w -= lr * (nesterov ? g + momentum * v : v).
// The state has one tensor, "momentum", which is v. It starts at 0. PyTorch starts v at the first
// g, which gives the same v after the first step.
class Sgd final : public Optimizer {
 public:
  // Checks the config. Errors go to `problems`, which must be those of the message optimizer.sgd.
  static void Check(const SgdConfig& config, const Problems& problems);

  Sgd(const SgdConfig& config, FlatParameters parameters);

  absl::string_view kind() const override { return "sgd"; }
  void Step(const at::Tensor& gradients, double lr, double scale, int64_t iteration) override;
  TensorList State() const override { return {{"momentum", momentum_}}; }

 private:
  const SgdConfig config_;
  const at::Tensor momentum_;
};

}  // namespace finetune

#endif  // FINETUNE_OPTIM_SGD_H_
