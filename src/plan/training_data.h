#ifndef FINETUNE_PLAN_TRAINING_DATA_H_
#define FINETUNE_PLAN_TRAINING_DATA_H_

#include <cstdint>
#include <string>

#include "src/base/status_macros.h"
#include "src/config/config.h"
#include "src/plan/measure.h"

namespace finetune {

// The facts about a config's training data that are known without a run.
struct TrainingData {
  int64_t images = 0;   // images in the training split; 0: unknown
  PreparedShape shape;  // the shape of an image after the pipeline
  std::string note;     // says that there is no data set; empty if there is one
};

// Validates the config and finds the facts about its training data: from the data set's manifest,
// or without a data set as far as the pipeline determines them. `images`: the number of images to
// assume; 0: the manifest's number. Errors: InvalidArgument for a config that is not valid;
// NotFound where neither manifest nor pipeline determines the size of an image.
absl::StatusOr<TrainingData> FindTrainingData(const LoadedConfig& loaded, int64_t images);

}  // namespace finetune

#endif  // FINETUNE_PLAN_TRAINING_DATA_H_
