#ifndef FINETUNE_TRAIN_OPTIMIZER_STATE_H_
#define FINETUNE_TRAIN_OPTIMIZER_STATE_H_

#include "absl/status/status.h"
#include "src/checkpoint/value.h"
#include "src/optim/optimizer.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Returns a checkpoint's `optimizer` entry: the optimizer's kind, and each tensor of its state cut
// into one tensor per parameter, by name and in the parameter's shape.
//   {"kind": "sgd", "momentum": {"head.fc.weight": Tensor[10, 512], ...}}
// The tensors share memory with the optimizer's state. `parameters` must contain every trained
// parameter.
Value OptimizerToValue(const Optimizer& optimizer, const TensorList& parameters);

// Copies an entry made by OptimizerToValue() into the optimizer's state. Errors: InvalidArgument
// where the entry is of a different kind of optimizer or lacks the state of a trained parameter;
// then nothing is written.
absl::Status RestoreOptimizer(const Value& entry, const TensorList& parameters,
                              Optimizer* optimizer);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_OPTIMIZER_STATE_H_
