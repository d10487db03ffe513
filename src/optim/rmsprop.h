#ifndef FINETUNE_OPTIM_RMSPROP_H_
#define FINETUNE_OPTIM_RMSPROP_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "absl/strings/string_view.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/optim/optimizer.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// RMSprop (Tieleman and Hinton 2012), as torch.optim.RMSprop or TensorFlow define it. For a
// parameter w with gradient g:
//   g += weight_decay * w;  s = alpha * s + (1 - alpha) * g * g;  variance = s;
//   centered: a = alpha * a + (1 - alpha) * g;  variance = s - a * a;
//   PYTORCH:     b = momentum * b + g / (sqrt(variance) + epsilon);  w -= lr * b;
//   TENSORFLOW:  b = momentum * b + lr * g / sqrt(variance + epsilon);  w -= b.
// s starts at 0 for PYTORCH and at 1 for TENSORFLOW, as in timm's RMSpropTF; a and b start at 0.
// The state's tensors have PyTorch's names: "square_avg" is s, "momentum_buffer" is b and exists
// only with momentum, "grad_avg" is a and exists only if centered.
class RmsProp final : public Optimizer {
 public:
  // Checks the config. Errors go to `problems`, which must be those of the message
  // optimizer.rmsprop.
  static void Check(const RmsPropConfig& config, const Problems& problems);

  RmsProp(const RmsPropConfig& config, FlatParameters parameters);

  absl::string_view kind() const override { return "rmsprop"; }
  void Step(const at::Tensor& gradients, double lr, double scale, int64_t iteration) override;
  TensorList State() const override;

 private:
  const RmsPropConfig config_;
  const at::Tensor square_average_;    // s
  const at::Tensor momentum_;          // b; undefined without momentum
  const at::Tensor gradient_average_;  // a; undefined unless centered
};

}  // namespace finetune

#endif  // FINETUNE_OPTIM_RMSPROP_H_
