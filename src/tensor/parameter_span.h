#ifndef FINETUNE_TENSOR_PARAMETER_SPAN_H_
#define FINETUNE_TENSOR_PARAMETER_SPAN_H_

#include <cstdint>
#include <string>

namespace finetune {

// The place of one parameter, elements [offset, offset + count), in the flat tensor of all trained
// parameters. The flat tensors of gradients and of optimizer state have the same layout.
struct ParameterSpan {
  std::string name;
  int64_t offset = 0;
  int64_t count = 0;
};

}  // namespace finetune

#endif  // FINETUNE_TENSOR_PARAMETER_SPAN_H_
