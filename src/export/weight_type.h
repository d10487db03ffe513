#ifndef FINETUNE_EXPORT_WEIGHT_TYPE_H_
#define FINETUNE_EXPORT_WEIGHT_TYPE_H_

#include <ATen/core/Tensor.h>

#include <string>

#include "src/base/status_macros.h"

namespace finetune {

// Converts a parameter or buffer for a file whose weights have `type` (kFloat, kHalf or kBFloat16).
// The result is on the CPU and contiguous. Floating-point tensors of at least two dimensions, the
// weights of convolutions and linear layers, are converted to `type`. Biases and the tensors of
// batch norms keep their type: they take less than 1 % of the bytes, and a variance may exceed
// float16's range. `name`: for the error. Errors, of a tensor that is converted: DataLoss for
// a value that is infinite or NaN; InvalidArgument for a finite value beyond the range of `type`.
absl::StatusOr<at::Tensor> AsWeightType(const std::string& name, const at::Tensor& tensor,
                                        at::ScalarType type);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_WEIGHT_TYPE_H_
