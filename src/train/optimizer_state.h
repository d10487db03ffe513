#ifndef FINETUNE_TRAIN_OPTIMIZER_STATE_H_
#define FINETUNE_TRAIN_OPTIMIZER_STATE_H_

#include "absl/status/status.h"
#include "src/checkpoint/value.h"
#include "src/optim/optimizer.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Returns the entry of a checkpoint that holds an optimizer's state: its kind, and each tensor of
// the state cut into the parameters, by name and in their shapes.
//   {"kind": "sgd", "momentum": {"head.fc.weight": Tensor[10, 512], ...}}
// The tensors share memory with the state. `parameters` must have every trained one.
Value OptimizerToValue(const Optimizer& optimizer, const TensorList& parameters);

// Writes such an entry into the optimizer's state. Errors: InvalidArgument for the state of another
// kind of optimizer, and where a trained parameter's is missing; then nothing is written.
absl::Status RestoreOptimizer(const Value& entry, const TensorList& parameters,
                              Optimizer* optimizer);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_OPTIMIZER_STATE_H_
