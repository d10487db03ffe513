#ifndef FINETUNE_PLAN_TRAINING_DATA_H_
#define FINETUNE_PLAN_TRAINING_DATA_H_

#include <cstdint>
#include <string>

#include "src/base/status_macros.h"
#include "src/config/config.h"
#include "src/plan/measure.h"

namespace finetune {

// What is known of a config's training data without a run.
struct TrainingData {
  int64_t pictures = 0;  // 0: unknown
  PictureShape shape;    // as the model gets them
  std::string note;      // for people, where there is no data set
};

// Validates the config and finds its training data: from the manifest, and without one as far as
// the pipeline alone says. `pictures`: 0, or what counts in place of the manifest's number. Errors:
// InvalidArgument for a config that is not valid; NotFound where nothing says how large pictures
// are.
absl::StatusOr<TrainingData> FindTrainingData(const LoadedConfig& loaded, int64_t pictures);

}  // namespace finetune

#endif  // FINETUNE_PLAN_TRAINING_DATA_H_
