#ifndef FINETUNE_TENSOR_FINITE_H_
#define FINETUNE_TENSOR_FINITE_H_

#include <ATen/core/Tensor.h>

#include "src/tensor/named_tensor.h"

namespace finetune {

// Whether `tensor`, on any device, holds neither an infinity nor a NaN. True for integers.
bool IsFinite(const at::Tensor& tensor);

// The first of `tensors` that is not finite; null where all are.
const NamedTensor* FirstNotFinite(const TensorList& tensors);

}  // namespace finetune

#endif  // FINETUNE_TENSOR_FINITE_H_
