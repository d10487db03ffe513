#include "src/model/load.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/aminmax.h>
#include <c10/util/accumulate.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "src/checkpoint/value.h"
#include "src/model/arrange.h"

namespace finetune {
namespace {

// The largest number whose square is a finite float32: sqrt(FLT_MAX).
constexpr double kLargestUsable = 1.8446742e19;

// Describes one load: the weights that are wanted, and the settings that its messages name. A
// setting is empty where the user has no such setting.
struct Request {
  PretrainedConfig how;
  std::string prefix_setting;
  std::string channels_setting;
  // The advice at the end of the error for missing or left over tensors.
  std::string advice;
  // Whether the config can allow missing tensors (allow_missing). If so, missing tensors of frozen
  // stages have an error of their own.
  bool may_allow;
  // Whether tensors in another form are converted (Backbone::ConvertWeights()).
  bool converts = true;
};

// Returns the first `shown` names and how many more there are. Makes names from the file printable.
std::string Few(absl::Span<const std::string> names, size_t shown) {
  const auto printable = [](std::string* out, const std::string& name) {
    absl::StrAppend(out, Printable(name));
  };
  return absl::StrCat(
      absl::StrJoin(names.subspan(0, shown), ", ", printable),
      names.size() > shown ? absl::StrCat(" and ", names.size() - shown, " more") : "");
}

// Returns whether an entry counts something and is not a weight, like AveragedModel's "n_averaged".
bool IsCount(const at::Tensor& tensor) {
  return tensor.defined() && tensor.numel() == 1 && !tensor.is_floating_point();
}

// Returns whether this entry of allow_missing or allow_unused is the tensor's name or a prefix of
// it that ends at a dot.
bool Allows(absl::string_view entry, absl::string_view name) {
  entry = absl::StripSuffix(entry, ".");
  return absl::ConsumePrefix(&name, entry) && (name.empty() || name.front() == '.');
}

std::string Shape(const at::Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.sizes(), ", "), "]");
}

// Returns the type's name in Python's torch, such as "int8".
std::string TypeName(const at::Tensor& tensor) {
  return std::string(c10::getDtypeNames(tensor.scalar_type()).first);
}

// Returns why `from` cannot be copied to `to`; "" if it can.
std::string Misfit(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) {
    return absl::StrCat(Shape(from), " in the checkpoint, ", Shape(to), " in the model");
  }
  if (from.is_floating_point() != to.is_floating_point()) {
    return absl::StrCat(TypeName(from), " in the checkpoint, ", TypeName(to), " in the model");
  }
  return "";
}

LoadReport Compare(const TensorList& wanted, const Given& given, bool with_head) {
  LoadReport report;
  std::set<absl::string_view> used;
  for (const NamedTensor& tensor : wanted) {
    const auto found = given.find(tensor.name);
    if (found == given.end() || !found->second.tensor.defined()) {
      // Checkpoints from before PyTorch 0.4.1 lack the counters, which this program never computes
      // with.
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

// Converts the weight of the checkpoint's first convolution from one input channel to the model's
// several, or from several to one. Returns a note for the log if it did, else "".
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

// Reshapes the checkpoint's tensors that hold the model's values in the same order under other
// sizes. The weight of a linear layer, [out, in * k * k], is that of a convolution as large as its
// input, [out, in, k, k]: timm makes such convolutions of the hidden layers of MobileNetV3 and VGG.
// Sizes of 1 may be missing: a layer scale is [C], [C, 1, 1] (torchvision) or [1, 1, 1, C].
void ReshapeToTheModels(const TensorList& wanted, Given* given) {
  const auto without_ones = [](at::IntArrayRef sizes) {
    std::vector<int64_t> kept = sizes.vec();
    std::erase(kept, 1);
    return kept;
  };
  const auto is_linear_of = [](at::IntArrayRef narrow, at::IntArrayRef wide) {
    return wide.size() == 4 && narrow.size() == 2 && wide[0] == narrow[0] &&
           c10::multiply_integers(wide) == c10::multiply_integers(narrow);
  };
  for (const NamedTensor& tensor : wanted) {
    const auto found = given->find(tensor.name);
    if (found == given->end() || !found->second.tensor.defined()) continue;
    const at::IntArrayRef ours = tensor.tensor.sizes(), theirs = found->second.tensor.sizes();
    if (ours.size() == theirs.size()) continue;
    if (without_ones(ours) != without_ones(theirs) && !is_linear_of(ours, theirs) &&
        !is_linear_of(theirs, ours)) {
      continue;
    }
    found->second.tensor = found->second.tensor.reshape(ours);
  }
}

// Checks that the config's padding and epsilon fit the checkpoint's weights, as far as the
// checkpoint's name of the first convolution tells. Errors: InvalidArgument with the setting that
// the config must have.
absl::Status CheckOrigin(const Given& given, const NamedTensor& convolution,
                         const Classifier& model) {
  const auto found = given.find(convolution.name);
  if (found == given.end()) return absl::OkStatus();
  const std::string ours = LayerOf(convolution.name), theirs = LayerOf(found->second.name);
  // The checkpoint's name, from which the loop below removes a prefix.
  absl::string_view name = theirs;
  const auto is_layer = [&] {
    const auto other = model.other_names().find(name);
    return other != model.other_names().end() && other->second == ours;
  };
  while (!is_layer()) {
    const size_t dot = name.find('.');
    if (dot == absl::string_view::npos) return absl::OkStatus();
    name.remove_prefix(dot + 1);
  }
  const absl::Status status = model.CheckNames(name);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat("the checkpoint may be of another network: ", status.message()));
}

// Returns those of `names` that training never changes.
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

// Returns the least and the greatest value of a non-empty tensor, converted to `type`: a large
// float64 is not finite as float32.
std::pair<double, double> Range(const at::Tensor& tensor, at::ScalarType type) {
  const auto [low, high] = at::aminmax(tensor.detach().to(type));
  return {low.item<double>(), high.item<double>()};
}

// Collects tensors whose values are finite but too large to compute with.
class HugeValues {
 public:
  void Add(absl::string_view name, double low, double high) {
    const double magnitude = std::max(std::abs(low), std::abs(high));
    if (magnitude <= kLargestUsable) return;
    if (count_++ == 0) first_ = Printable(name);
    largest_ = std::max(largest_, magnitude);
  }

  std::string Warning(absl::string_view of) const {
    if (count_ == 0) return "";
    return absl::StrFormat(
        "%s%s%s %s values as large as %.2g, whose squares float32 cannot hold: the run that wrote "
        "the checkpoint had diverged; take an earlier one",
        of, first_, count_ == 1 ? "" : absl::StrCat(" and ", count_ - 1, " more"),
        count_ == 1 ? "has" : "have", largest_);
  }

 private:
  std::string first_;
  int count_ = 0;
  double largest_ = 0;
};

// Returns an error for a value that is not finite or a negative variance. Returns a warning about
// values that are too large to compute with; "" where there are none.
absl::StatusOr<std::string> CheckValues(const TensorList& wanted, const Given& given) {
  HugeValues huge;
  for (const NamedTensor& tensor : wanted) {
    const auto found = given.find(tensor.name);
    if (found == given.end() || IsCounter(tensor.name) || tensor.tensor.numel() == 0 ||
        !found->second.tensor.defined()) {
      continue;
    }
    const std::string name = Printable(found->second.name);
    const auto [low, high] = Range(found->second.tensor, tensor.tensor.scalar_type());
    if (!std::isfinite(low) || !std::isfinite(high)) {
      return absl::DataLossError(
          absl::StrCat(name,
                       " has values that are not finite (NaN or infinity), which no image's "
                       "result survives: the run that wrote the checkpoint had diverged; take an "
                       "earlier one"));
    }
    if (absl::EndsWith(tensor.name, ".running_var") && low < 0) {
      return absl::DataLossError(absl::StrFormat(
          "%s has the value %g; a variance is at least 0: the checkpoint is damaged, take another",
          name, low));
    }
    huge.Add(found->second.name, low, high);
  }
  return huge.Warning("");
}

// Copies a counter of any floating-point or integer type. Does nothing where `from` is not a count.
void CopyCounter(const at::Tensor& from, const at::Tensor& to) {
  constexpr double kLargest = int64_t{1} << 53;
  if (from.numel() != 1 || from.is_complex()) return;
  if (from.is_floating_point()) {
    const double count = from.to(at::kDouble).item<double>();
    if (!(count >= 0 && count <= kLargest)) return;
  }
  to.copy_(from.reshape({}));
}

// Copies the tensors to the model. Compare() must have found nothing mismatched.
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

// Returns a text such as "--prefix=a, --prefix=b or --prefix=c".
std::string Choices(const std::string& setting, const std::vector<std::string>& prefixes) {
  std::string text;
  for (size_t i = 0; i < prefixes.size(); ++i) {
    absl::StrAppend(&text,
                    i == 0                    ? ""
                    : i + 1 < prefixes.size() ? ", "
                                              : " or ",
                    setting, Printable(prefixes[i]));
  }
  return text;
}

// Returns the error that no tensor of the checkpoint belongs to the backbone.
absl::Status NothingFits(const StateDict& checkpoint, const TensorList& backbone,
                         const LayerNames& other_names, const Request& request) {
  const auto names = [](const TensorList& tensors) {
    std::vector<std::string> list;
    list.reserve(tensors.size());
    for (const NamedTensor& tensor : tensors) list.push_back(tensor.name);
    return list;
  };
  std::vector<std::string> wanted = names(backbone);
  for (std::string& name : wanted) name = std::string(absl::StripPrefix(name, kBackbone));
  const std::string& prefix = request.how.prefix();
  const std::vector<std::string> fitting =
      FittingPrefixes(checkpoint.tensors, backbone, other_names);
  const bool advises = !fitting.empty() && !request.prefix_setting.empty();
  return absl::InvalidArgumentError(absl::StrCat(
      "none of the checkpoint's names are the backbone's",
      prefix.empty() ? "" : absl::StrCat(" with prefix \"", prefix, "\" or without it"),
      ". It has ", checkpoint.tensors.empty() ? "no tensors" : Few(names(checkpoint.tensors), 4),
      "; expected ", Few(wanted, 4),
      advises ? absl::StrCat(". They fit with ", Choices(request.prefix_setting, fitting)) : ""));
}

// Returns the prefixes below which the checkpoint has the backbone's names again, beside those in
// `given`. Such a second set is often an average of the weights, or a teacher's weights.
std::vector<std::string> OtherPrefixes(const StateDict& checkpoint, const TensorList& backbone,
                                       const LayerNames& other_names, const Given& given) {
  std::set<absl::string_view> taken;
  for (const NamedTensor& tensor : backbone) {
    const auto found = given.find(tensor.name);
    if (found != given.end()) taken.insert(found->second.name);
  }
  TensorList others;
  for (const NamedTensor& tensor : checkpoint.tensors) {
    if (!taken.contains(tensor.name)) others.push_back(tensor);
  }
  return FittingPrefixes(others, backbone, other_names);
}

// Returns a text such as: it has the backbone's names also below "ema".
std::string TellOthers(const std::vector<std::string>& prefixes, const Request& request) {
  std::vector<std::string> places;
  bool chooses = !request.prefix_setting.empty();
  for (const std::string& prefix : prefixes) {
    // The empty prefix cannot be chosen by the setting: names below "backbone." are taken first.
    chooses = chooses && !prefix.empty();
    places.push_back(prefix.empty() ? "without a prefix"
                                    : absl::StrCat("below \"", Printable(prefix), "\""));
  }
  return absl::StrCat("it has the backbone's names also ", absl::StrJoin(places, " and "),
                      chooses ? absl::StrCat(" (", Choices(request.prefix_setting, prefixes),
                                             " takes ", prefixes.size() == 1 ? "those" : "one", ")")
                              : "");
}

std::string AdviceOnShapes(const LoadReport& report, const NamedTensor* convolution,
                           const Given& given, const Request& request) {
  if (std::all_of(report.mismatched.begin(), report.mismatched.end(),
                  [](const std::string& one) { return IsHead(one); })) {
    return ". The head is for another number of classes than model.head.num_classes";
  }
  if (convolution == nullptr || request.channels_setting.empty()) return "";
  const auto found = given.find(convolution->name);
  if (found == given.end() || !found->second.tensor.defined()) return "";
  const at::Tensor& weight = found->second.tensor;
  if (weight.dim() != 4 || weight.size(1) == convolution->tensor.size(1) ||
      (weight.size(1) != 1 && convolution->tensor.size(1) != 1)) {
    return "";
  }
  return absl::StrCat(". ", request.channels_setting,
                      " fits a first convolution of another number of channels");
}

// Returns OK if the config allows every missing and left over tensor. Errors: InvalidArgument with
// the names.
absl::Status CheckComplete(const LoadReport& report, const Given& given, const Request& request,
                           const Classifier& model) {
  for (const std::string& name : report.missing) {
    const auto found = given.find(name);
    if (found == given.end()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(Printable(found->second.name), " is ", found->second.unreadable));
  }
  const std::vector<std::string> frozen = Frozen(model, report.missing);
  if (request.may_allow && !frozen.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the checkpoint lacks tensors of frozen stages, which would keep their random values for "
        "ever: ",
        Few(frozen, 8), ". ", report.Summary(),
        ". Take a checkpoint of this network, or lower model.backbone.frozen_stages"));
  }
  const auto forbidden = [](const std::vector<std::string>& names, const auto& allowed) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return std::none_of(allowed.begin(), allowed.end(),
                          [&](const std::string& entry) { return Allows(entry, name); });
    });
  };
  if (forbidden(report.missing, request.how.allow_missing()) ||
      forbidden(report.unused, request.how.allow_unused())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the checkpoint does not fit the model of the config: ", report.Summary(), request.advice));
  }
  return absl::OkStatus();
}

// Warns about each entry of allow_missing or allow_unused that allows none of `names`. Such an
// entry is misspelt, or no longer needed and would hide a later mistake.
template <typename Entries>
void WarnOfIdle(const Entries& entries, const std::vector<std::string>& names,
                absl::string_view setting, absl::string_view kind,
                std::vector<std::string>* warnings) {
  for (const std::string& entry : entries) {
    if (std::any_of(names.begin(), names.end(),
                    [&](const std::string& name) { return Allows(entry, name); })) {
      continue;
    }
    warnings->push_back(absl::StrCat("model.backbone.pretrained.", setting, ": \"", entry,
                                     "\" has no effect: no tensor that is ", kind,
                                     " has this name or begins with it"));
  }
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
  const LayerNames& other_names = model->other_names();
  Given given = Arrange(checkpoint, request.how.prefix(), backbone, other_names);
  if (given.empty() && !request.how.prefix().empty()) {
    given = Arrange(checkpoint, "", backbone, other_names);
    if (!given.empty()) {
      notes.push_back(absl::StrCat("no name in it begins with the prefix \"", request.how.prefix(),
                                   "\"; the names are taken without it"));
    }
  }
  if (given.empty()) return NothingFits(checkpoint, backbone, other_names, request);
  std::string others;
  if (std::vector<std::string> prefixes = OtherPrefixes(checkpoint, backbone, other_names, given);
      !prefixes.empty()) {
    others = TellOthers(prefixes, request);
    notes.push_back(others);
  }

  if (request.converts) {
    for (std::string& note : model->ConvertWeights(&given)) notes.push_back(std::move(note));
  }
  const NamedTensor* const convolution = FirstConvolution(*model);
  if (request.how.adapt_input_channels() && convolution != nullptr) {
    std::string note = AdaptInputChannels(*convolution, &given);
    if (!note.empty()) notes.push_back(std::move(note));
  }
  ReshapeToTheModels(wanted, &given);
  LoadReport report = Compare(wanted, given, with_head);
  report.notes = std::move(notes);
  const auto with_others = [&](const absl::Status& status) {
    if (status.ok() || others.empty()) return status;
    return absl::Status(status.code(), absl::StrCat(status.message(), "; ", others));
  };
  if (!report.mismatched.empty()) {
    return with_others(absl::InvalidArgumentError(
        absl::StrCat("the checkpoint is of another network: ", report.Summary(),
                     AdviceOnShapes(report, convolution, given, request))));
  }
  FT_RETURN_IF_ERROR(with_others(CheckComplete(report, given, request, *model)));
  if (convolution != nullptr) {
    FT_RETURN_IF_ERROR(CheckOrigin(given, *convolution, *model));
  }
  WarnOfIdle(request.how.allow_missing(), report.missing, "allow_missing", "missing",
             &report.warnings);
  WarnOfIdle(request.how.allow_unused(), report.unused, "allow_unused", "left over",
             &report.warnings);
  FT_ASSIGN_OR_RETURN(std::string huge, CheckValues(wanted, given));
  if (!huge.empty()) report.warnings.push_back(std::move(huge));
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
               "model.backbone.pretrained.adapt_input_channels: true",
               ". Choose the model that the checkpoint is of, or allow the tensors by name in "
               "model.backbone.pretrained.allow_missing and allow_unused",
               /*may_allow=*/true},
              model);
}

absl::StatusOr<LoadReport> LoadClassifier(const StateDict& checkpoint, const EvaluatedWeights& how,
                                          Classifier* model) {
  Request request{PretrainedConfig(), "--prefix=", "--adapt_input_channels",
                  ". Give the config it was trained with", /*may_allow=*/false};
  request.how.set_prefix(how.prefix);
  request.how.set_with_head(true);
  request.how.set_adapt_input_channels(how.adapt_input_channels);
  return Load(checkpoint, request, model);
}

absl::StatusOr<LoadReport> LoadResumed(const StateDict& checkpoint, Classifier* model) {
  Request request{PretrainedConfig(), "", "", ". Resume with the config it was trained with",
                  /*may_allow=*/false};
  request.converts = false;
  request.how.set_with_head(true);
  return Load(checkpoint, request, model);
}

std::string WarnOfHugeValues(absl::string_view of, const TensorList& tensors) {
  HugeValues huge;
  for (const NamedTensor& one : tensors) {
    if (one.tensor.numel() == 0 || !one.tensor.is_floating_point()) continue;
    const auto [low, high] = Range(one.tensor, at::kFloat);
    huge.Add(one.name, low, high);
  }
  return huge.Warning(of);
}

}  // namespace finetune
