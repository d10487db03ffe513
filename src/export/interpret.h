#ifndef FINETUNE_EXPORT_INTERPRET_H_
#define FINETUNE_EXPORT_INTERPRET_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "third_party/onnx/onnx.pb.h"

namespace finetune {

// Computes all values of an ONNX model for `input`, by the definitions of ONNX's operators and
// LibTorch's arithmetic. For tests: it knows the operators that exported models have, and throws
// c10::Error at another one.
std::map<std::string, at::Tensor> InterpretAll(const onnx::ModelProto& model,
                                               const at::Tensor& input);

// The same for the output alone.
at::Tensor Interpret(const onnx::ModelProto& model, const at::Tensor& input);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_INTERPRET_H_
