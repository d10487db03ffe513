#include "src/model/load.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"

namespace finetune {
namespace {

// A checkpoint's tensors by the names that the model would have for them.
using Given = std::map<std::string, at::Tensor>;

std::string Few(absl::Span<const std::string> names) {
  constexpr size_t kShown = 4;
  return absl::StrCat(
      absl::StrJoin(names.subspan(0, kShown), ", "),
      names.size() > kShown ? absl::StrCat(" and ", names.size() - kShown, " more") : "");
}

std::vector<std::string> Names(const TensorList& tensors) {
  std::vector<std::string> names;
  names.reserve(tensors.size());
  for (const NamedTensor& tensor : tensors) names.push_back(tensor.name);
  return names;
}

// What depends on the number of classes.
bool IsHead(absl::string_view name) {
  return absl::StartsWith(name, "head.") || absl::StartsWith(name, "fc.") ||
         absl::StartsWith(name, "backbone.classifier.2.");
}

std::string Describe(const at::Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.sizes(), ", "), "]");
}

// Why `from` cannot become `to`'s value; empty if it can.
std::string Misfit(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) {
    return absl::StrCat(Describe(from), " in the checkpoint, ", Describe(to), " in the model");
  }
  if (from.is_floating_point() != to.is_floating_point()) {
    return absl::StrCat(c10::toString(from.scalar_type()), " in the checkpoint, ",
                        c10::toString(to.scalar_type()), " in the model");
  }
  return "";
}

LoadReport Compare(const TensorList& wanted, const Given& given) {
  LoadReport report;
  std::set<absl::string_view> used;
  for (const NamedTensor& tensor : wanted) {
    const auto found = given.find(tensor.name);
    if (found == given.end()) {
      // Checkpoints of before PyTorch 0.4.1 lack the counters; nothing here reads them.
      if (!absl::EndsWith(tensor.name, ".num_batches_tracked")) {
        report.missing.push_back(tensor.name);
      }
      continue;
    }
    used.insert(found->first);
    const std::string misfit = Misfit(found->second, tensor.tensor);
    if (misfit.empty()) {
      ++report.matched;
    } else {
      report.mismatched.push_back(absl::StrCat(tensor.name, ": ", misfit));
    }
  }
  for (const auto& [name, tensor] : given) {
    if (used.count(name) == 0) report.unexpected.push_back(name);
  }
  return report;
}

// After Compare() found nothing mismatched.
void Copy(const Given& given, const TensorList& wanted, Classifier* model) {
  const at::NoGradGuard no_grad;
  for (const NamedTensor& tensor : wanted) {
    const auto found = given.find(tensor.name);
    if (found != given.end()) tensor.tensor.copy_(found->second);
  }
  model->ParametersChanged(/*all=*/true);
}

// What to do about a checkpoint none of whose names fit with the prefix as it is; empty where no
// other prefix would do.
std::string BetterPrefix(const TensorList& checkpoint, const TensorList& backbone) {
  std::map<std::string, size_t> votes;
  for (const NamedTensor& wanted : backbone) {
    const absl::string_view ending = absl::StripPrefix(wanted.name, "backbone.");
    for (const NamedTensor& tensor : checkpoint) {
      absl::string_view name = tensor.name;
      if (absl::ConsumeSuffix(&name, ending) && (name.empty() || absl::ConsumeSuffix(&name, "."))) {
        ++votes[std::string{name}];
      }
    }
  }
  for (const auto& [prefix, count] : votes) {
    if (2 * count < backbone.size()) continue;
    return prefix.empty() ? ". They fit without a prefix"
                          : absl::StrCat(". They fit with prefix: \"", prefix, "\"");
  }
  return "";
}

}  // namespace

std::string LoadReport::Summary() const {
  std::string text = absl::StrCat(matched, " tensors matched");
  if (!missing.empty()) absl::StrAppend(&text, "; ", missing.size(), " missing: ", Few(missing));
  if (!unexpected.empty()) {
    absl::StrAppend(&text, "; ", unexpected.size(), " not used: ", Few(unexpected));
  }
  if (!mismatched.empty()) {
    absl::StrAppend(&text, "; ", mismatched.size(), " of another shape or type: ", Few(mismatched));
  }
  return text;
}

absl::StatusOr<LoadReport> LoadBackbone(const TensorList& checkpoint, const std::string& prefix,
                                        Classifier* model) {
  TensorList backbone;
  for (const NamedTensor& tensor : model->State()) {
    if (!IsHead(tensor.name)) backbone.push_back(tensor);
  }
  const std::string start = prefix.empty() ? "" : absl::StrCat(prefix, ".");
  Given given;
  for (const NamedTensor& tensor : checkpoint) {
    absl::string_view name = tensor.name;
    if (!absl::ConsumePrefix(&name, start)) continue;
    if (prefix.empty()) {
      if (IsHead(name)) continue;
      absl::ConsumePrefix(&name, "backbone.");
    }
    std::string ours = absl::StrCat("backbone.", name);
    if (!IsHead(ours)) given[std::move(ours)] = tensor.tensor;
  }
  const LoadReport report = Compare(backbone, given);
  if (report.matched == 0 && report.mismatched.empty()) {
    std::vector<std::string> wanted = Names(backbone);
    for (std::string& name : wanted) {
      name = absl::StrCat(start, absl::StripPrefix(name, "backbone."));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("none of the checkpoint's names are the backbone's",
                     prefix.empty() ? "" : absl::StrCat(" with prefix \"", prefix, "\""),
                     ". It has ", checkpoint.empty() ? "no tensors" : Few(Names(checkpoint)),
                     "; wanted are ", Few(wanted), BetterPrefix(checkpoint, backbone)));
  }
  if (!report.mismatched.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the checkpoint is of another network: ", report.Summary()));
  }
  Copy(given, backbone, model);
  return report;
}

absl::StatusOr<LoadReport> LoadClassifier(const TensorList& checkpoint, Classifier* model) {
  const bool mmpretrain = std::any_of(
      checkpoint.begin(), checkpoint.end(),
      [](const NamedTensor& tensor) { return absl::StartsWith(tensor.name, "backbone."); });
  Given given;
  for (const NamedTensor& tensor : checkpoint) {
    const char* prefix = mmpretrain ? "" : IsHead(tensor.name) ? "head." : "backbone.";
    given[absl::StrCat(prefix, tensor.name)] = tensor.tensor;
  }
  const TensorList state = model->State();
  LoadReport report = Compare(state, given);
  if (!report.missing.empty() || !report.mismatched.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the checkpoint does not fit the model of the config: ", report.Summary()));
  }
  Copy(given, state, model);
  return report;
}

}  // namespace finetune
