#include "src/predict/served_model.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/annotate.h"
#include "src/base/utf8.h"
#include "src/comm/agreement.h"
#include "src/data/manifest.h"
#include "src/model/classifier.h"
#include "src/train/data_identity.h"
#include "src/train/match_data.h"

namespace finetune {
namespace {

// Returns the manifest of the config's training or validation data; nullopt if neither can be read.
std::optional<DatasetManifest> FindManifest(const DataConfig& data) {
  for (const SplitConfig* split : {&data.train(), &data.val()}) {
    if (split->path().empty()) continue;
    absl::StatusOr<DatasetManifest> manifest = ReadManifest(split->path());
    if (manifest.ok()) return *std::move(manifest);
  }
  return std::nullopt;
}

StoredImages StoredIn(const DatasetManifest& manifest) {
  return {{manifest.channels(), manifest.height(), manifest.width()},
          manifest.encoded(),
          manifest.ignores_orientation() ? Orientation::kIgnore : Orientation::kApply};
}

StoredImages StoredIn(const SplitIdentity& split) {
  return {{static_cast<int>(split.channels), static_cast<int>(split.height),
           static_cast<int>(split.width)},
          split.encoded.value_or(false),
          split.ignores_orientation.value_or(false) ? Orientation::kIgnore : Orientation::kApply};
}

// The facts about the model's training data that the checkpoint and the config together give.
struct Knowledge {
  DataIdentity identity;
  StoredImages stored;
  std::vector<std::string> notes;
};

Knowledge Gather(const std::string& checkpoint, DataIdentity identity,
                 const ExperimentConfig& config) {
  Knowledge known;
  known.identity = std::move(identity);
  DataIdentity& data = known.identity;
  const std::optional<DatasetManifest> manifest =
      data.classes.empty() || (!data.val.has_value() && !data.train.has_value())
          ? FindManifest(config.data())
          : std::nullopt;
  if (data.val.has_value() || data.train.has_value()) {
    known.stored = StoredIn(data.val.has_value() ? *data.val : *data.train);
  } else if (manifest.has_value()) {
    known.stored = StoredIn(*manifest);
  } else {
    const int64_t channels = InputChannels(config.model().backbone());
    known.stored.shape.channels = channels == 1 ? 1 : 3;
  }
  if (data.classes.empty() && manifest.has_value() &&
      manifest->class_name_size() == config.model().head().num_classes()) {
    for (const std::string& name : manifest->class_name()) data.classes.push_back(ValidUtf8(name));
    known.notes.push_back(absl::StrCat(
        checkpoint, " does not name its classes: the names of the config's data are taken"));
  } else if (data.classes.empty()) {
    known.notes.push_back(absl::StrCat(
        checkpoint, " does not name its classes: the numbers of its outputs stand for them"));
  }
  known.stored.exact_decoding = config.data().exact_decoding();
  data.statistics = StatisticsFor({checkpoint, data}, config.data(), &known.notes);
  return known;
}

absl::Status CheckClasses(const std::string& checkpoint, const DataIdentity& data,
                          const HeadConfig& head) {
  if (data.classes.empty() || static_cast<int>(data.classes.size()) == head.num_classes()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("model.head.num_classes: found %d; expected %d, as many as %s names classes",
                      head.num_classes(), data.classes.size(), checkpoint));
}

absl::StatusOr<ImagePipeline> MakePipeline(const LoadedConfig& loaded,
                                           const std::string& checkpoint, const Knowledge& known,
                                           const Classifier& model) {
  const SplitConfig& val = loaded.config.data().val();
  const std::string place = loaded.PlaceOf("data.val.pipeline");
  if (val.pipeline().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(place,
                     ": data.val.pipeline: is not set; expected the steps that make the "
                     "model's input of an image. Give a config that has them by --config"));
  }
  const std::optional<PixelStatistics>& statistics = known.identity.statistics;
  const TransformConfig& last = *val.pipeline().rbegin();
  if (last.has_normalize() && !HasOwnStatistics(last.normalize()) &&
      (!statistics.has_value() || statistics->mean.empty())) {
    return absl::InvalidArgumentError(absl::StrCat(
        place, ": data.val.pipeline: normalize {} has no mean and std, and ", checkpoint,
        " does not say by which its images were normalised; give a config with normalize { mean: "
        "... std: ... } or { preset: IMAGENET } by --config"));
  }
  absl::StatusOr<ImagePipeline> pipeline =
      ImagePipeline::Create(val, known.stored, statistics.has_value() ? &*statistics : nullptr);
  FT_RETURN_IF_ERROR(Annotate(pipeline.status(), place));
  FT_RETURN_IF_ERROR(
      Annotate(model.CheckInput(pipeline->channels(), pipeline->height(), pipeline->width()),
               absl::StrCat(place, ": data.val")));
  return pipeline;
}

}  // namespace

absl::StatusOr<ServedModel> LoadServedModel(const LoadedConfig& loaded,
                                            const ServedModelOptions& options, Communicator* comm) {
  const std::string& checkpoint = options.checkpoint;
  absl::StatusOr<DataIdentity> identity = ReadDataIdentityOf(checkpoint);
  FT_RETURN_IF_ERROR(Agree(identity.status(), *comm));
  Knowledge known = Gather(checkpoint, *std::move(identity), loaded.config);
  const HeadConfig& head = loaded.config.model().head();
  FT_RETURN_IF_ERROR(Agree(CheckClasses(checkpoint, known.identity, head), *comm));
  FT_ASSIGN_OR_RETURN(Setup setup, PrepareModel(loaded, known.identity, comm));
  absl::StatusOr<ImagePipeline> pipeline = MakePipeline(loaded, checkpoint, known, *setup.model);
  FT_RETURN_IF_ERROR(Agree(pipeline.status(), *comm));
  FT_RETURN_IF_ERROR(
      Agree(TakeWeights(loaded, checkpoint, options.key, options.weights, &setup), *comm));
  setup.notes.insert(setup.notes.end(), known.notes.begin(), known.notes.end());
  if (pipeline->fits()) {
    const ImageShape& shape = known.stored.shape;
    setup.notes.push_back(absl::StrFormat(
        "the model was trained on images that are stored as %dx%d pixels (height x width); "
        "images of another size are fitted to that first",
        shape.height, shape.width));
  }
  PrintNotes(setup, *comm);
  std::vector<std::string> names = setup.data.classes;
  for (auto label = static_cast<int>(names.size()); label < head.num_classes(); ++label) {
    names.push_back(absl::StrCat(label));
  }
  return ServedModel{std::move(setup), *std::move(pipeline), std::move(names)};
}

}  // namespace finetune
