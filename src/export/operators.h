#ifndef FINETUNE_EXPORT_OPERATORS_H_
#define FINETUNE_EXPORT_OPERATORS_H_

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/export/graph.h"

namespace finetune {

// One call of a LibTorch operator in the forward pass of one image.
struct OperatorCall {
  std::string op;                   // LibTorch's name: "conv2d"
  std::vector<c10::IValue> inputs;  // as the operator's schema lists them
  // For each input the name of its value in the graph; "" for one that is not a tensor.
  std::vector<std::string> values;
  std::string layer;  // the layer whose parameter the operator reads; "" for none
  at::Tensor output;
};

// Appends the nodes that compute the same as a call. Returns the name of the value that is the
// call's output. Errors: Unimplemented for an operator, or a use of one, that the table in
// operators.cc does not have.
absl::StatusOr<std::string> AddCall(const OperatorCall& call, Graph* graph);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_OPERATORS_H_
