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

// Stochastic gradient descent as torch.optim.SGD defines it:
//   g += weight_decay * w;  v = momentum * v + g;  w -= lr * (nesterov ? g + momentum * v : v).
// Its state is "momentum", v. It starts at 0, which after the first step equals PyTorch's start at
// g.
class Sgd final : public Optimizer {
 public:
  // `problems`: those of its message.
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
