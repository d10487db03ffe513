#include "src/train/optimizer_state.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

std::map<std::string, at::Tensor> ByName(const TensorList& tensors) {
  std::map<std::string, at::Tensor> map;
  for (const NamedTensor& tensor : tensors) map[tensor.name] = tensor.tensor;
  return map;
}

// Returns a parameter's part of the contiguous tensor `state`, with the parameter's shape and
// memory order.
at::Tensor PartOf(const at::Tensor& state, const ParameterSpan& span, const at::Tensor& parameter) {
  return state.as_strided(parameter.sizes(), parameter.strides(), span.offset);
}

}  // namespace

Value OptimizerToValue(const Optimizer& optimizer, const TensorList& parameters) {
  const std::map<std::string, at::Tensor> by_name = ByName(parameters);
  Value::Dict entry;
  entry.Append("kind", optimizer.kind());
  for (const NamedTensor& state : optimizer.State()) {
    Value::Dict parts;
    for (const ParameterSpan& span : optimizer.spans()) {
      parts.Append(span.name, PartOf(state.tensor, span, by_name.at(span.name)));
    }
    entry.Append(state.name, std::move(parts));
  }
  return entry;
}

absl::Status RestoreOptimizer(const Value& entry, const TensorList& parameters,
                              Optimizer* optimizer) {
  FT_ASSIGN_OR_RETURN(const std::string kind, entry.GetString("kind"));
  if (kind != optimizer->kind()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "it holds the state of optimizer ", Printable(kind), "; the config has optimizer.",
        optimizer->kind(), ". Resume with the optimizer that the run began with"));
  }
  const std::map<std::string, at::Tensor> by_name = ByName(parameters);
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  for (const NamedTensor& state : optimizer->State()) {
    FT_ASSIGN_OR_RETURN(const TensorList parts, entry.GetTensors(state.name));
    const std::map<std::string, at::Tensor> saved = ByName(parts);
    for (const ParameterSpan& span : optimizer->spans()) {
      const auto found = saved.find(span.name);
      const at::Tensor target = PartOf(state.tensor, span, by_name.at(span.name));
      if (found == saved.end() || found->second.sizes() != target.sizes()) {
        return absl::InvalidArgumentError(absl::StrCat("it has no ", state.name, " for ", span.name,
                                                       ": other parameters were trained in it"));
      }
      copies.emplace_back(target, found->second);
    }
  }
  for (const auto& [target, source] : copies) target.copy_(source);
  return absl::OkStatus();
}

}  // namespace finetune
