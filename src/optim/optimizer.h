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

// The trained parameters in contiguous memory.
struct FlatParameters {
  at::Tensor values;                    // [n] float32; elements between the spans never change
  std::vector<ParameterSpan> spans;     // sorted by offset
  std::vector<ParameterGroup> groups;   // sorted by offset; they cover the spans
  std::vector<ParameterTraits> traits;  // of each span
};

// Updates the trained parameters in one pass over the contiguous memory that holds them. The
// optimizer's state is contiguous, too. Checkpoints, broadcasts and resumed runs access the state
// through State() alone.
//
// To add a new kind, write a file like sgd.cc and add its cases to optimizer.cc.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // Returns the name of the optimizer in checkpoints and in the config: "sgd".
  virtual absl::string_view kind() const = 0;

  // Updates the parameters in place. `gradients`: [n] float32 with the same layout as the
  // parameters; they are multiplied by `scale` first. `iteration`: counted from 0 at the start of
  // the run, also in a resumed run.
  virtual void Step(const at::Tensor& gradients, double lr, double scale, int64_t iteration) = 0;

  // Returns the state's tensors by name. Each is [n] float32 with the same layout as the
  // parameters, and 0 before the first step. The tensors share memory with the optimizer: writing
  // into them changes its state.
  virtual TensorList State() const = 0;

  // Returns the place of each parameter in the contiguous tensors, sorted by offset.
  const std::vector<ParameterSpan>& spans() const { return parameters_.spans; }

 protected:
  explicit Optimizer(FlatParameters parameters) : parameters_(std::move(parameters)) {}
  const FlatParameters& parameters() const { return parameters_; }

 private:
  const FlatParameters parameters_;
};

// Checks the settings of the optimizer. Errors go to `problems`, which must be those of the message
// optimizer.
void CheckOptimizer(const OptimizerConfig& config, const Problems& problems);

// Creates the optimizer that `config` names. `config` has passed CheckOptimizer(). `values`: [n]
// float32, the parameters at `spans`. `traits`: see GroupParameters(). Errors: those of
// GroupParameters().
absl::StatusOr<std::unique_ptr<Optimizer>> CreateOptimizer(const OptimizerConfig& config,
                                                           std::vector<ParameterSpan> spans,
                                                           const at::Tensor& values,
                                                           const TraitsByName& traits = {});

// The learning rate in the config's optimizer, which the schedule multiplies.
struct BaseLearningRate {
  std::string field;            // "optimizer.sgd.lr"
  std::optional<double> value;  // unset where the config does not set it
};
BaseLearningRate FindLearningRate(const OptimizerConfig& config);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_OPTIMIZER_H_
