#include "src/model/load.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/aminmax.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "src/model/transformers_names.h"

namespace finetune {
namespace {

constexpr absl::string_view kBackbone = "backbone.";

// The weights that a load takes, and the settings that its errors name.
struct Request {
  PretrainedConfig how;
  std::string prefix_setting;
  // Told after tensors that are missing or left over.
  std::string advice;
  // The config may allow missing tensors, and names frozen stages as the reason why it may not.
  bool may_allow;
};

// An entry of the checkpoint. The tensor is not defined where the file has something else.
struct Entry {
  std::string name;
  at::Tensor tensor;
  std::string unreadable;
};

// A checkpoint's entries by the names that the model would have for them.
using Given = std::map<std::string, Entry>;

std::string Few(absl::Span<const std::string> names, size_t shown) {
  return absl::StrCat(
      absl::StrJoin(names.subspan(0, shown), ", "),
      names.size() > shown ? absl::StrCat(" and ", names.size() - shown, " more") : "");
}

// Whether a tensor of the model depends on the number of classes.
bool IsHead(absl::string_view name) {
  return absl::StartsWith(name, "head.") || absl::StartsWith(name, "backbone.classifier.2.");
}

bool IsCounter(absl::string_view name) { return absl::EndsWith(name, ".num_batches_tracked"); }

// Whether an entry counts something and is not a weight, as AveragedModel's "n_averaged".
bool IsCount(const at::Tensor& tensor) {
  return tensor.defined() && tensor.numel() == 1 && !tensor.is_floating_point();
}

std::string LayerOf(const std::string& name) { return name.substr(0, name.rfind('.')); }

// Whether an entry of allow_missing or allow_unused names this tensor.
template <typename Allowed>
bool IsAllowed(const Allowed& allowed, absl::string_view name) {
  return std::any_of(allowed.begin(), allowed.end(), [&](absl::string_view entry) {
    entry = absl::StripSuffix(entry, ".");
    return absl::ConsumePrefix(&name, entry) && (name.empty() || name.front() == '.');
  });
}

// Where a checkpoint has backbone and head: below `parent` as "backbone." and "head.", or, flat,
// the backbone's names right below it and the head as "fc.".
struct Layout {
  std::string parent;
  bool flat;
};

// The model's name for one of the checkpoint's; none for a tensor that is neither of the backbone
// nor of the head.
std::optional<std::string> ModelName(const Layout& layout, absl::string_view full_name) {
  if (!absl::ConsumePrefix(&full_name, layout.parent)) return std::nullopt;
  const std::string name = layout.flat ? FromTransformers(full_name) : std::string(full_name);
  if (absl::StartsWith(name, "fc.")) return absl::StrCat("head.", name);
  if (absl::StartsWith(name, "head.")) return name;
  if (layout.flat) return absl::StrCat(kBackbone, name);
  if (absl::StartsWith(name, kBackbone)) return name;
  return std::nullopt;
}

Given Arrange(const StateDict& checkpoint, const Layout& layout) {
  Given given;
  for (const NamedTensor& one : checkpoint.tensors) {
    if (std::optional<std::string> name = ModelName(layout, one.name)) {
      given[*std::move(name)] = {one.name, one.tensor, ""};
    }
  }
  for (const StateDict::Unreadable& one : checkpoint.unreadable) {
    if (std::optional<std::string> name = ModelName(layout, one.name)) {
      given[*std::move(name)] = {one.name, at::Tensor(), one.reason};
    }
  }
  return given;
}

// The checkpoint by the first layout in which it has any tensor of the backbone; empty where there
// is none.
Given ArrangeBelow(const StateDict& checkpoint, const std::string& prefix,
                   const TensorList& backbone) {
  const std::string start = prefix.empty() ? "" : absl::StrCat(prefix, ".");
  std::vector<Layout> layouts = {{start, false}, {start, true}};
  absl::string_view parent = start;
  if (absl::ConsumeSuffix(&parent, kBackbone)) {
    layouts.insert(layouts.begin(), {std::string(parent), false});
  }
  for (const Layout& layout : layouts) {
    Given given = Arrange(checkpoint, layout);
    if (std::any_of(backbone.begin(), backbone.end(),
                    [&](const NamedTensor& tensor) { return given.contains(tensor.name); })) {
      return given;
    }
  }
  return {};
}

std::string Shape(const at::Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.sizes(), ", "), "]");
}

// Why `from` cannot become `to`'s value; empty if it can.
std::string Misfit(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) {
    return absl::StrCat(Shape(from), " in the checkpoint, ", Shape(to), " in the model");
  }
  if (from.is_floating_point() != to.is_floating_point()) {
    return absl::StrCat(c10::toString(from.scalar_type()), " in the checkpoint, ",
                        c10::toString(to.scalar_type()), " in the model");
  }
  return "";
}

LoadReport Compare(const TensorList& wanted, const Given& given, bool with_head) {
  LoadReport report;
  std::set<absl::string_view> used;
  for (const NamedTensor& tensor : wanted) {
    const auto found = given.find(tensor.name);
    if (found == given.end() || !found->second.tensor.defined()) {
      // Checkpoints of before PyTorch 0.4.1 lack the counters; nothing here reads them.
      if (!IsCounter(tensor.name)) report.missing.push_back(tensor.name);
      if (found != given.end()) used.insert(found->first);
      continue;
    }
    used.insert(found->first);
    const std::string misfit =
        IsCounter(tensor.name) ? "" : Misfit(found->second.tensor, tensor.tensor);
    if (misfit.empty()) {
      ++report.matched;
    } else {
      report.mismatched.push_back(absl::StrCat(tensor.name, ": ", misfit));
    }
  }
  for (const auto& [name, entry] : given) {
    if (used.contains(name) || IsCount(entry.tensor) || (IsHead(name) && !with_head)) continue;
    report.unused.push_back(entry.name);
  }
  return report;
}

// Fits the weights of a first convolution that takes one channel to a model's that takes several,
// or the other way round. Returns a note where it did.
std::string AdaptInputChannels(const NamedTensor& convolution, Given* given) {
  const auto found = given->find(convolution.name);
  if (found == given->end() || !found->second.tensor.defined()) return "";
  at::Tensor& weight = found->second.tensor;
  const at::IntArrayRef wanted = convolution.tensor.sizes();
  if (weight.dim() != 4 || wanted.size() != 4 || weight.size(1) == wanted[1]) return "";
  const int64_t from = weight.size(1), to = wanted[1];
  if (from == 1) {
    weight = weight.to(at::kFloat).div(static_cast<double>(to)).repeat({1, to, 1, 1});
  } else if (to == 1) {
    weight = weight.to(at::kFloat).sum(1, /*keepdim=*/true);
  } else {
    return "";
  }
  return absl::StrFormat("%s: its weights for %d channel%s are %s", convolution.name, from,
                         from == 1 ? "" : "s",
                         from == 1 ? absl::StrCat("spread over ", to) : "summed to one");
}

const NamedTensor* FirstConvolution(const Classifier& model) {
  const auto found =
      std::find_if(model.parameters().begin(), model.parameters().end(),
                   [](const NamedTensor& parameter) { return parameter.tensor.dim() == 4; });
  return found == model.parameters().end() ? nullptr : &*found;
}

// The tensors of `names` that training would never change.
std::vector<std::string> Frozen(const Classifier& model, const std::vector<std::string>& names) {
  std::set<std::string> trained;
  for (const NamedTensor& parameter : model.parameters()) {
    if (parameter.tensor.requires_grad()) trained.insert(LayerOf(parameter.name));
  }
  std::vector<std::string> frozen;
  for (const std::string& name : names) {
    if (!trained.contains(LayerOf(name))) frozen.push_back(name);
  }
  return frozen;
}

// A value that no trained network has, or that no batch norm can compute with.
absl::Status CheckValues(const TensorList& wanted, const Given& given) {
  for (const NamedTensor& tensor : wanted) {
    const auto found = given.find(tensor.name);
    if (found == given.end() || IsCounter(tensor.name) || tensor.tensor.numel() == 0 ||
        !found->second.tensor.defined()) {
      continue;
    }
    // As the model will hold them: a large double is not finite as a float.
    const auto [lowest, highest] =
        at::aminmax(found->second.tensor.to(tensor.tensor.scalar_type()));
    const double low = lowest.item<double>(), high = highest.item<double>();
    if (!std::isfinite(low) || !std::isfinite(high)) {
      return absl::DataLossError(
          absl::StrCat(found->second.name,
                       " has values that are not finite (NaN or infinity), which no picture's "
                       "result survives: the run that wrote the checkpoint had diverged; take an "
                       "earlier one"));
    }
    if (absl::EndsWith(tensor.name, ".running_var") && low < 0) {
      return absl::DataLossError(absl::StrFormat(
          "%s has the value %g; a variance is at least 0: the checkpoint is damaged, take another",
          found->second.name, low));
    }
  }
  return absl::OkStatus();
}

// Copies a counter of any floating-point or integer type; one that is not a count is left out.
void CopyCounter(const at::Tensor& from, const at::Tensor& to) {
  constexpr double kLargest = int64_t{1} << 53;
  if (from.numel() != 1 || from.is_complex()) return;
  if (from.is_floating_point()) {
    const double count = from.to(at::kDouble).item<double>();
    if (!(count >= 0 && count <= kLargest)) return;
  }
  to.copy_(from.reshape({}));
}

// After Compare() found nothing mismatched.
void Copy(const Given& given, const TensorList& wanted, Classifier* model) {
  const at::NoGradGuard no_grad;
  for (const NamedTensor& tensor : wanted) {
    const auto found = given.find(tensor.name);
    if (found == given.end() || !found->second.tensor.defined()) continue;
    if (IsCounter(tensor.name)) {
      CopyCounter(found->second.tensor, tensor.tensor);
    } else {
      tensor.tensor.copy_(found->second.tensor);
    }
  }
  model->ParametersChanged(/*all=*/true);
}

// The prefix with which most of the backbone's names would fit; none where none would.
std::optional<std::string> BetterPrefix(const TensorList& checkpoint, const TensorList& backbone) {
  std::map<std::string, size_t> votes;
  for (const NamedTensor& wanted : backbone) {
    const absl::string_view ending = absl::StripPrefix(wanted.name, kBackbone);
    for (const NamedTensor& tensor : checkpoint) {
      absl::string_view name = tensor.name;
      if (absl::ConsumeSuffix(&name, ending) && (name.empty() || absl::ConsumeSuffix(&name, "."))) {
        ++votes[std::string{name}];
      }
    }
  }
  for (const auto& [prefix, count] : votes) {
    if (2 * count >= backbone.size()) return prefix;
  }
  return std::nullopt;
}

// Nothing of the checkpoint is the backbone's.
absl::Status NothingFits(const StateDict& checkpoint, const TensorList& backbone,
                         const Request& request) {
  const auto names = [](const TensorList& tensors) {
    std::vector<std::string> list;
    list.reserve(tensors.size());
    for (const NamedTensor& tensor : tensors) list.push_back(tensor.name);
    return list;
  };
  std::vector<std::string> wanted = names(backbone);
  for (std::string& name : wanted) name = std::string(absl::StripPrefix(name, kBackbone));
  const std::string& prefix = request.how.prefix();
  const std::optional<std::string> better = BetterPrefix(checkpoint.tensors, backbone);
  return absl::InvalidArgumentError(absl::StrCat(
      "none of the checkpoint's names are the backbone's",
      prefix.empty() ? "" : absl::StrCat(" with prefix \"", prefix, "\" or without it"),
      ". It has ", checkpoint.tensors.empty() ? "no tensors" : Few(names(checkpoint.tensors), 4),
      "; expected ", Few(wanted, 4),
      better.has_value() ? absl::StrCat(". They fit with ", request.prefix_setting, *better) : ""));
}

std::string AdviceOnShapes(const LoadReport& report, const NamedTensor* convolution,
                           const Given& given) {
  if (std::all_of(report.mismatched.begin(), report.mismatched.end(),
                  [](const std::string& one) { return IsHead(one); })) {
    return ". The head is for another number of classes than model.head.num_classes";
  }
  if (convolution == nullptr) return "";
  const auto found = given.find(convolution->name);
  if (found == given.end() || !found->second.tensor.defined()) return "";
  const at::Tensor& weight = found->second.tensor;
  if (weight.dim() != 4 || weight.size(1) == convolution->tensor.size(1) ||
      (weight.size(1) != 1 && convolution->tensor.size(1) != 1)) {
    return "";
  }
  return ". model.backbone.pretrained.adapt_input_channels: true fits a first convolution of "
         "another number of channels";
}

absl::StatusOr<LoadReport> Load(const StateDict& checkpoint, const Request& request,
                                Classifier* model) {
  const bool with_head = request.how.with_head();
  TensorList backbone, wanted;
  for (const NamedTensor& tensor : model->State()) {
    if (!IsHead(tensor.name)) backbone.push_back(tensor);
    if (with_head || !IsHead(tensor.name)) wanted.push_back(tensor);
  }
  std::vector<std::string> notes;
  Given given = ArrangeBelow(checkpoint, request.how.prefix(), backbone);
  if (given.empty() && !request.how.prefix().empty()) {
    given = ArrangeBelow(checkpoint, "", backbone);
    if (!given.empty()) {
      notes.push_back(absl::StrCat("no name in it begins with the prefix \"", request.how.prefix(),
                                   "\"; the names are taken without it"));
    }
  }
  if (given.empty()) return NothingFits(checkpoint, backbone, request);

  const NamedTensor* const convolution = FirstConvolution(*model);
  if (request.how.adapt_input_channels() && convolution != nullptr) {
    std::string note = AdaptInputChannels(*convolution, &given);
    if (!note.empty()) notes.push_back(std::move(note));
  }
  LoadReport report = Compare(wanted, given, with_head);
  report.notes = std::move(notes);
  if (!report.mismatched.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the checkpoint is of another network: ", report.Summary(),
                     AdviceOnShapes(report, convolution, given)));
  }
  for (const std::string& name : report.missing) {
    const auto found = given.find(name);
    if (found == given.end()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(found->second.name, " is ", found->second.unreadable));
  }
  const std::vector<std::string> frozen = Frozen(*model, report.missing);
  if (request.may_allow && !frozen.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the checkpoint lacks tensors of frozen stages, which would keep their random values for "
        "ever: ",
        Few(frozen, 8), ". ", report.Summary(),
        ". Take a checkpoint of this network, or lower model.backbone.frozen_stages"));
  }
  const auto forbidden = [](const std::vector<std::string>& names, const auto& allowed) {
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& name) { return !IsAllowed(allowed, name); });
  };
  if (forbidden(report.missing, request.how.allow_missing()) ||
      forbidden(report.unused, request.how.allow_unused())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the checkpoint does not fit the model of the config: ", report.Summary(), request.advice));
  }
  FT_RETURN_IF_ERROR(CheckValues(wanted, given));
  Copy(given, wanted, model);
  return report;
}

}  // namespace

std::string LoadReport::Summary() const {
  constexpr size_t kShown = 8;
  std::string text = absl::StrCat(matched, " tensors matched");
  if (!missing.empty()) {
    absl::StrAppend(&text, "; ", missing.size(), " missing: ", Few(missing, kShown));
  }
  if (!unused.empty()) {
    absl::StrAppend(&text, "; ", unused.size(), " not used: ", Few(unused, kShown));
  }
  if (!mismatched.empty()) {
    absl::StrAppend(&text, "; ", mismatched.size(),
                    " of another shape or type: ", Few(mismatched, kShown));
  }
  return text;
}

absl::StatusOr<LoadReport> LoadPretrained(const StateDict& checkpoint,
                                          const PretrainedConfig& pretrained, Classifier* model) {
  return Load(checkpoint,
              {pretrained, "model.backbone.pretrained.prefix: ",
               ". Choose the model that the checkpoint is of, or allow the tensors by name in "
               "model.backbone.pretrained.allow_missing and allow_unused",
               /*may_allow=*/true},
              model);
}

absl::StatusOr<LoadReport> LoadClassifier(const StateDict& checkpoint, const std::string& prefix,
                                          Classifier* model) {
  Request request{PretrainedConfig(), "--prefix=", ". Give the config it was trained with",
                  /*may_allow=*/false};
  request.how.set_prefix(prefix);
  request.how.set_with_head(true);
  return Load(checkpoint, request, model);
}

}  // namespace finetune
