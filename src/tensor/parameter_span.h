#ifndef FINETUNE_TENSOR_PARAMETER_SPAN_H_
#define FINETUNE_TENSOR_PARAMETER_SPAN_H_

#include <cstdint>
#include <string>

namespace finetune {

// The place of one parameter in the flat tensors of all trained parameters, their gradients and
// their optimizer's state. In elements.
struct ParameterSpan {
  std::string name;
  int64_t offset = 0;
  int64_t count = 0;
};

}  // namespace finetune

#endif  // FINETUNE_TENSOR_PARAMETER_SPAN_H_
