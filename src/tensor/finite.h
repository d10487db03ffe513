#ifndef FINETUNE_TENSOR_FINITE_H_
#define FINETUNE_TENSOR_FINITE_H_

#include <ATen/core/Tensor.h>

#include "src/tensor/named_tensor.h"

namespace finetune {

// Returns whether `tensor`, on any device, has neither an infinity nor a NaN. Returns true for a
// tensor of integers.
bool IsFinite(const at::Tensor& tensor);

// Returns the first of `tensors` that has an infinity or a NaN, or null where none has.
const NamedTensor* FirstNotFinite(const TensorList& tensors);

}  // namespace finetune

#endif  // FINETUNE_TENSOR_FINITE_H_
