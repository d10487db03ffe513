#ifndef FINETUNE_OPTIM_OPTIMIZER_H_
#define FINETUNE_OPTIM_OPTIMIZER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/optim/parameter_rules.h"
#include "src/tensor/named_tensor.h"
#include "src/tensor/parameter_span.h"

namespace finetune {

// The trained parameters, as an optimizer sees them.
struct FlatParameters {
  at::Tensor values;                   // [n] float32; memory between the spans is left alone
  std::vector<ParameterSpan> spans;    // sorted by offset
  std::vector<ParameterGroup> groups;  // sorted by offset; they cover the spans
};

// Updates the trained parameters, in one pass over the flat memory that holds them. The state is
// flat, too. A run's checkpoints, broadcasts and resumes go through State() and know nothing else
// of an optimizer.
//
// A new kind is a file beside sgd.cc and its cases in optimizer.cc.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // The name that checkpoints carry, as the config has it: "sgd".
  virtual absl::string_view kind() const = 0;

  // Updates the parameters in place. `gradients`: [n] float32, laid out as the parameters are; they
  // are multiplied by `scale` first. `iteration`: counted from 0 at the start of the run, so that a
  // resumed run goes on counting.
  virtual void Step(const at::Tensor& gradients, double lr, double scale, int64_t iteration) = 0;

  // Returns the state by name: each tensor is [n] float32, laid out as the parameters are, and 0
  // before the first step. They are the live tensors: whoever writes into them sets the state.
  virtual TensorList State() const = 0;

  // Where each parameter lies in the flat tensors, sorted by offset.
  const std::vector<ParameterSpan>& spans() const { return parameters_.spans; }

 protected:
  explicit Optimizer(FlatParameters parameters) : parameters_(std::move(parameters)) {}
  const FlatParameters& parameters() const { return parameters_; }

 private:
  const FlatParameters parameters_;
};

// Checks the settings of the optimizer. `problems`: those of its message.
void CheckOptimizer(const OptimizerConfig& config, const Problems& problems);

// Makes the optimizer that `config` names; the config has passed CheckOptimizer(). `values`: [n]
// float32, holding every span. Errors: those of GroupParameters().
absl::StatusOr<std::unique_ptr<Optimizer>> CreateOptimizer(const OptimizerConfig& config,
                                                           std::vector<ParameterSpan> spans,
                                                           const at::Tensor& values);

// The learning rate that a config gives its optimizer; the schedule multiplies it.
struct BaseLearningRate {
  std::string field;            // "optimizer.sgd.lr"
  std::optional<double> value;  // nothing where the config does not set it
};
BaseLearningRate FindLearningRate(const OptimizerConfig& config);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_OPTIMIZER_H_
