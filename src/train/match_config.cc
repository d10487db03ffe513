#include "src/train/match_config.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "src/config/origins.h"
#include "src/train/checkpoint_config.h"

namespace finetune {
namespace {

// The fields of `model`, by name in whatever message, whose values do not change what given weights
// compute in an evaluation.
constexpr absl::string_view kHarmless[] = {
    // Which weights are trained, and from where.
    "pretrained", "frozen_stages", "norm_eval",
    // Draws of a training pass.
    "drop_path", "dropout", "hidden_dropout",
    // The training loss, and what is reported.
    "label_smoothing", "class_weights", "cross_entropy", "bce", "focal", "topk",
    // First values of weights. A value of 0 that leaves the weights out gives other tensors.
    "zero_init_residual", "layer_scale_init", "layer_scale",
    // Loading resamples position embeddings and says so, or refuses them by their shape.
    "image_size"};

// Fields that do not change what a run computes: names and places, logs, threads and time limits.
constexpr absl::string_view kNotComputed[] = {"name",
                                              "data.train.path",
                                              "data.train.workers",
                                              "data.train.prefetch",
                                              "data.val.path",
                                              "data.val.workers",
                                              "data.val.prefetch",
                                              "runtime.threads",
                                              "runtime.work_dir",
                                              "runtime.log_interval",
                                              "runtime.tensorboard",
                                              "comm.stall_warning_seconds",
                                              "comm.timeout_seconds"};

// The most differences that a message lists.
constexpr size_t kMostListed = 8;

bool IsHarmless(const std::string& path) {
  const std::vector<absl::string_view> steps = absl::StrSplit(path, '.');
  return absl::c_any_of(steps, [](absl::string_view step) {
    return absl::c_linear_search(kHarmless, step.substr(0, step.find('[')));
  });
}

// Returns the config's `model` alone. Sets its messages, because one that is not set has the values
// of an empty one.
LoadedConfig ModelOf(const LoadedConfig& loaded) {
  LoadedConfig alone;
  alone.file = loaded.file;
  alone.origins = loaded.origins;
  ModelConfig* const model = alone.config.mutable_model();
  *model = loaded.config.model();
  const google::protobuf::Descriptor* const type = model->GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* const field = type->field(i);
    if (field->message_type() == nullptr || field->is_repeated() ||
        field->containing_oneof() != nullptr) {
      continue;
    }
    model->GetReflection()->MutableMessage(model, field);
  }
  return alone;
}

// The beginning of the text of a DiffSide for a field that has its default because it is not set.
constexpr absl::string_view kNotSet = "not set, so ";

// Returns "CAFFE (a.pbtxt:3:5)", or "PYTORCH (not set)" for a default.
std::string Describe(const DiffSide& side, bool with_place) {
  absl::string_view value = side.value;
  if (absl::ConsumePrefix(&value, kNotSet)) return absl::StrCat(value, " (not set)");
  if (!with_place || side.place.empty()) return side.value;
  return absl::StrCat(side.value, " (", side.place, ")");
}

// Joins the first texts by "; " and says how many more there are.
std::string Join(std::vector<std::string> texts) {
  const size_t all = texts.size();
  texts.resize(std::min(all, kMostListed));
  return absl::StrCat(absl::StrJoin(texts, "; "),
                      all > kMostListed ? absl::StrCat("; and ", all - kMostListed, " more") : "");
}

}  // namespace

std::vector<FieldDiff> NetworkDifferences(const LoadedConfig& saved, const LoadedConfig& used,
                                          const std::string& part) {
  std::vector<FieldDiff> differences = DiffConfigs(ModelOf(saved), ModelOf(used));
  std::erase_if(differences, [&](const FieldDiff& one) {
    return !IsInside(one.path, part) || IsHarmless(one.path);
  });
  return differences;
}

std::string DescribeDifferences(const std::vector<FieldDiff>& differences) {
  std::vector<std::string> texts;
  for (const FieldDiff& one : differences) {
    texts.push_back(absl::StrCat(one.path, ": found ", Describe(one.right, /*with_place=*/true),
                                 ", expected ", Describe(one.left, /*with_place=*/false)));
  }
  return Join(std::move(texts));
}

absl::StatusOr<std::string> CheckNetwork(const Value& meta, const LoadedConfig& used,
                                         const std::string& advice) {
  return CheckNetwork(ReadCheckpointConfig(meta, "its config", /*overrides=*/{}), used, advice);
}

absl::StatusOr<std::string> CheckNetwork(const absl::StatusOr<std::optional<LoadedConfig>>& saved,
                                         const LoadedConfig& used, const std::string& advice) {
  if (!saved.ok()) {
    return absl::StrCat(
        "this version cannot read the config that it carries, so the network of its weights could "
        "not be compared with the config's: ",
        Printable(saved.status().message()));
  }
  if (!saved->has_value()) return std::string();
  const std::vector<FieldDiff> differences = NetworkDifferences(**saved, used, "model");
  if (differences.empty()) return std::string();
  return absl::InvalidArgumentError(absl::StrCat(
      "its weights were trained in another network: ", DescribeDifferences(differences),
      ". In the config's network they would give wrong results. ", advice));
}

absl::StatusOr<std::string> CheckFirstNetwork(const Value& meta, const LoadedConfig& used) {
  const absl::StatusOr<std::optional<LoadedConfig>> saved =
      ReadCheckpointConfig(meta, "its config", /*overrides=*/{});
  if (!saved.ok() || !saved->has_value()) return std::string();
  const bool with_head = used.config.model().backbone().pretrained().with_head();
  const std::vector<FieldDiff> differences =
      NetworkDifferences(**saved, used, with_head ? "model" : "model.backbone");
  if (differences.empty()) return std::string();
  std::string text = absl::StrCat("its weights were trained in another network: ",
                                  DescribeDifferences(differences));
  if (absl::c_none_of(differences, [](const FieldDiff& one) {
        return absl::StartsWith(one.right.value, kNotSet);
      })) {
    return text;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      text, ". Set these fields as expected, or to the values found if another network is meant"));
}

std::string DescribeChanges(const LoadedConfig& saved, const LoadedConfig& used) {
  std::vector<std::string> texts;
  for (const FieldDiff& one : DiffConfigs(saved, used)) {
    if (absl::c_any_of(kNotComputed,
                       [&](absl::string_view path) { return IsInside(one.path, path); })) {
      continue;
    }
    texts.push_back(absl::StrCat(one.path, " is ", Describe(one.right, /*with_place=*/true),
                                 " and was ", Describe(one.left, /*with_place=*/false)));
  }
  if (texts.empty()) return "";
  return absl::StrCat("the config has changed since the checkpoint was written: ",
                      Join(std::move(texts)));
}

}  // namespace finetune
