#include "src/plan/training_data.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/data/manifest.h"
#include "src/data/pipeline.h"
#include "src/model/classifier.h"
#include "src/validate/validate.h"

namespace finetune {
namespace {

// The height and width of the image that a pipeline is tried on where there is no data set.
constexpr int kStandIn = 512;

}  // namespace

absl::StatusOr<TrainingData> FindTrainingData(const LoadedConfig& loaded, int64_t images) {
  const SplitConfig& train = loaded.config.data().train();
  TrainingData data;
  absl::StatusOr<DatasetManifest> manifest = ReadManifest(train.path());
  RunFacts facts;
  if (manifest.ok()) {
    FT_ASSIGN_OR_RETURN(DatasetSplit split, FindSplit(*manifest, train.split()));
    data.images = ImageCount(split);
    facts.train = FactsOf(*manifest, data.images);
    facts.classes =
        ClassFacts{manifest->class_name_size(), absl::StrCat("the data in ", train.path())};
  } else {
    data.note = absl::StrCat("no data set at ", train.path());
  }
  if (images > 0) data.images = images;
  FT_RETURN_IF_ERROR(ValidateConfig(loaded, facts).status());
  if (!manifest.ok()) {
    DatasetManifest stand_in;
    stand_in.set_channels(static_cast<int>(InputChannels(loaded.config.model().backbone())));
    stand_in.set_height(kStandIn);
    stand_in.set_width(kStandIn);
    for (int c = 0; c < stand_in.channels(); ++c) {
      stand_in.add_mean(0);
      stand_in.add_std(1);
    }
    manifest = std::move(stand_in);
  }
  absl::StatusOr<Pipeline> pipeline = Pipeline::Create(train, *manifest);
  FT_RETURN_IF_ERROR(Annotate(pipeline.status(), "data.train"));
  data.shape = {pipeline->channels(), pipeline->height(), pipeline->width()};
  if (!data.note.empty() && data.shape.height == kStandIn) {
    return absl::NotFoundError(
        absl::StrCat(loaded.PlaceOf("data.train.path"),
                     ": data.train.path: there is no data set at ", train.path(),
                     ", and the pipeline does not say how large images are; prepare_dataset "
                     "writes one"));
  }
  return data;
}

}  // namespace finetune
