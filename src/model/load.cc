#include "src/model/load.h"

#include <ATen/core/grad_mode.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace finetune {
namespace {

std::string Few(const std::vector<std::string>& names) {
  constexpr size_t kShown = 4;
  const std::vector<std::string> shown(names.begin(),
                                       names.begin() + std::min(kShown, names.size()));
  return absl::StrCat(
      absl::StrJoin(shown, ", "),
      names.size() > kShown ? absl::StrCat(" and ", names.size() - kShown, " more") : "");
}

LoadReport CopyMatching(const TensorList& model_tensors,
                        const std::map<std::string, at::Tensor>& given) {
  const at::NoGradGuard no_grad;
  LoadReport report;
  std::map<std::string, at::Tensor> unused = given;
  for (const NamedTensor& wanted : model_tensors) {
    const auto found = given.find(wanted.name);
    if (found == given.end()) {
      // Checkpoints of before PyTorch 0.4.1 lack the counters; nothing here reads them.
      if (!absl::EndsWith(wanted.name, ".num_batches_tracked"))
        report.missing.push_back(wanted.name);
      continue;
    }
    unused.erase(wanted.name);
    if (found->second.sizes() != wanted.tensor.sizes()) {
      report.mismatched.push_back(absl::StrCat(
          wanted.name, ": [", absl::StrJoin(found->second.sizes(), ", "), "] in the checkpoint, [",
          absl::StrJoin(wanted.tensor.sizes(), ", "), "] in the model"));
      continue;
    }
    at::Tensor target = wanted.tensor;
    target.copy_(found->second);
    ++report.matched;
  }
  for (const auto& [name, unused_tensor] : unused) report.unexpected.push_back(name);
  return report;
}

std::vector<std::string> Names(const TensorList& tensors) {
  std::vector<std::string> names;
  for (const NamedTensor& tensor : tensors) names.push_back(tensor.name);
  return names;
}

}  // namespace

std::string LoadReport::Summary() const {
  std::string text = absl::StrCat(matched, " tensors matched");
  if (!missing.empty()) absl::StrAppend(&text, "; ", missing.size(), " missing: ", Few(missing));
  if (!unexpected.empty())
    absl::StrAppend(&text, "; ", unexpected.size(), " not used: ", Few(unexpected));
  if (!mismatched.empty()) {
    absl::StrAppend(&text, "; ", mismatched.size(), " of another shape: ", Few(mismatched));
  }
  return text;
}

absl::StatusOr<LoadReport> LoadBackbone(const TensorList& checkpoint, const std::string& prefix,
                                        Classifier* model) {
  TensorList backbone;
  for (const NamedTensor& tensor : model->State()) {
    if (absl::StartsWith(tensor.name, "backbone.")) backbone.push_back(tensor);
  }
  std::map<std::string, at::Tensor> given;
  const std::string start = prefix.empty() ? "" : absl::StrCat(prefix, ".");
  for (const NamedTensor& tensor : checkpoint) {
    absl::string_view name = tensor.name;
    if (!absl::ConsumePrefix(&name, start)) continue;
    if (prefix.empty()) {
      absl::ConsumePrefix(&name, "backbone.");
      if (absl::StartsWith(name, "fc.") || absl::StartsWith(name, "head.")) continue;
    }
    given[absl::StrCat("backbone.", name)] = tensor.tensor;
  }
  LoadReport report = CopyMatching(backbone, given);
  model->ParametersChanged(/*all=*/true);
  if (report.matched == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no tensor of the checkpoint fits the backbone",
        prefix.empty() ? "" : absl::StrCat(" with prefix \"", prefix, "\""),
        ". The checkpoint has ", Few(Names(checkpoint)), "; the backbone wants ",
        start.empty() ? "" : start, Few(Names(backbone)).substr(std::string("backbone.").size()),
        report.mismatched.empty() ? ""
                                  : absl::StrCat(". Of another shape: ", Few(report.mismatched))));
  }
  if (!report.mismatched.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the checkpoint is of another network: ", report.Summary()));
  }
  return report;
}

absl::StatusOr<LoadReport> LoadClassifier(const TensorList& checkpoint, Classifier* model) {
  bool mmpretrain = false;
  for (const NamedTensor& tensor : checkpoint) {
    mmpretrain = mmpretrain || absl::StartsWith(tensor.name, "backbone.");
  }
  std::map<std::string, at::Tensor> given;
  for (const NamedTensor& tensor : checkpoint) {
    if (mmpretrain) {
      given[tensor.name] = tensor.tensor;
    } else {
      given[absl::StrCat(absl::StartsWith(tensor.name, "fc.") ? "head." : "backbone.",
                         tensor.name)] = tensor.tensor;
    }
  }
  LoadReport report = CopyMatching(model->State(), given);
  model->ParametersChanged(/*all=*/true);
  if (!report.missing.empty() || !report.mismatched.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the checkpoint does not fit the model of the config: ", report.Summary()));
  }
  return report;
}

}  // namespace finetune
