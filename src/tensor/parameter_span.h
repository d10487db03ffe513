#ifndef FINETUNE_TENSOR_PARAMETER_SPAN_H_
#define FINETUNE_TENSOR_PARAMETER_SPAN_H_

#include <cstdint>
#include <string>

namespace finetune {

// Where one parameter lies in the flat tensors that hold all trained parameters, their gradients
// and their momentum; in elements.
struct ParameterSpan {
  std::string name;
  int64_t offset = 0;
  int64_t count = 0;
};

}  // namespace finetune

#endif  // FINETUNE_TENSOR_PARAMETER_SPAN_H_
