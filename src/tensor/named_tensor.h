#ifndef FINETUNE_TENSOR_NAMED_TENSOR_H_
#define FINETUNE_TENSOR_NAMED_TENSOR_H_

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace finetune {

// A tensor and its name in a checkpoint, such as "backbone.layer3.0.conv1.weight".
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

using TensorList = std::vector<NamedTensor>;

// Returns the layer of a tensor by its name: "backbone.conv1" for "backbone.conv1.weight".
inline std::string LayerOf(const std::string& name) { return name.substr(0, name.rfind('.')); }

}  // namespace finetune

#endif  // FINETUNE_TENSOR_NAMED_TENSOR_H_
