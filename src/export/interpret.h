#ifndef FINETUNE_EXPORT_INTERPRET_H_
#define FINETUNE_EXPORT_INTERPRET_H_

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "third_party/onnx/onnx.pb.h"

namespace finetune {

// Runs an ONNX model on `input` and returns all its values by name. Follows ONNX's definitions of
// the operators and computes with LibTorch. For tests only: knows just the operators that
// MakeOnnxModel() writes, and throws c10::Error for any other operator.
std::map<std::string, at::Tensor> InterpretAll(const onnx::ModelProto& model,
                                               const at::Tensor& input);

// Runs an ONNX model on `input` and returns its output.
at::Tensor Interpret(const onnx::ModelProto& model, const at::Tensor& input);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_INTERPRET_H_
