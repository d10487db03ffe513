#ifndef FINETUNE_OPTIM_SGD_H_
#define FINETUNE_OPTIM_SGD_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/tensor/parameter_span.h"

namespace finetune {

// Stochastic gradient descent as torch.optim.SGD defines it, in one pass over flat memory:
//   g += weight_decay * w;  v = momentum * v + g;  w -= lr * (nesterov ? g + momentum * v : v).
class Sgd {
 public:
  // `values`: [n] float32, holding every span; memory between spans is left alone. Momentum starts
  // at 0 (after its first step that equals PyTorch's start at g). Errors: InvalidArgument for a
  // rule whose regular expression does not parse or that matches no parameter.
  static absl::StatusOr<Sgd> Create(const OptimizerConfig& config, std::vector<ParameterSpan> spans,
                                    const at::Tensor& values);

  // Updates `values` in place. `gradients`: [n] float32 as `values`, multiplied by `gradient_scale`
  // first.
  void Step(const at::Tensor& gradients, double lr, double gradient_scale);

  // [n] float32: the state of the optimiser, to be saved and put back.
  at::Tensor& momentum() { return momentum_; }

  const std::vector<ParameterSpan>& spans() const { return spans_; }

 private:
  // Neighbouring spans that are treated alike.
  struct Run {
    int64_t begin;
    int64_t end;
    double lr_multiplier;
    double weight_decay;
  };

  Sgd() = default;

  SgdConfig config_;
  std::vector<ParameterSpan> spans_;
  std::vector<Run> runs_;
  at::Tensor values_;
  at::Tensor momentum_;
};

// The L2 norm of all elements of `gradients` [n] float32, summed in float64 in an order that does
// not depend on threads.
double GradientNorm(const at::Tensor& gradients);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_SGD_H_
