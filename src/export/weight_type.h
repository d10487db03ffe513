#ifndef FINETUNE_EXPORT_WEIGHT_TYPE_H_
#define FINETUNE_EXPORT_WEIGHT_TYPE_H_

#include <ATen/core/Tensor.h>

#include <string>

#include "src/base/status_macros.h"

namespace finetune {

// Returns a tensor as a file with weights of `type` (kFloat, kHalf or kBFloat16) holds it: on the
// CPU, contiguous. Weights of convolutions and linear layers, which have several extents, become
// that type. Biases and batch norms stay float32: they take less than 1 % of the bytes, and a
// variance may be beyond float16. Errors: InvalidArgument, with the name, for a value beyond
// float16.
absl::StatusOr<at::Tensor> AsWeightType(const std::string& name, const at::Tensor& tensor,
                                        at::ScalarType type);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_WEIGHT_TYPE_H_
