#ifndef FINETUNE_EXPORT_OPERATORS_H_
#define FINETUNE_EXPORT_OPERATORS_H_

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/export/graph.h"

namespace finetune {

// One call of a LibTorch operator in the forward pass of a batch of one image.
struct OperatorCall {
  std::string op;                   // LibTorch's name: "conv2d"
  std::vector<c10::IValue> inputs;  // in the order of the operator's schema
  // The name in the graph of each input's value; "" for an input that is not a tensor.
  std::vector<std::string> values;
  // The names of the values in an input that is a list of tensors. No operator has two such inputs.
  std::vector<std::string> elements;
  std::string layer;  // the name of the layer whose parameter the operator reads; "" for none
  at::Tensor output;
  int64_t result = 0;  // the number of `output` among the operator's results, from 0
};

// Appends nodes that compute the same as `call`, and returns the name of the value that is the
// call's output. Errors: Unimplemented for an operator that is not in the table of operators.cc, or
// whose arguments ONNX's operator does not support.
absl::StatusOr<std::string> AddCall(const OperatorCall& call, Graph* graph);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_OPERATORS_H_
