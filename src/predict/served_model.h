#ifndef FINETUNE_PREDICT_SERVED_MODEL_H_
#define FINETUNE_PREDICT_SERVED_MODEL_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/model/load.h"
#include "src/predict/image_pipeline.h"
#include "src/train/setup.h"

namespace finetune {

// The model of a checkpoint, ready to predict images that are not in a data set.
struct ServedModel {
  Setup setup;  // it has no loaders
  ImagePipeline pipeline;
  // The name of each output of the model. An output that nothing names has its number as name.
  std::vector<std::string> class_names;
};

struct ServedModelOptions {
  std::string checkpoint;
  // The keys that lead to the weights in the file, as in the config's PretrainedConfig; may be
  // empty.
  std::string key;
  EvaluatedWeights weights;
};

// Loads the checkpoint's weights into the network that the config describes. The class names, the
// mean and std, and how the data set stores images come from the checkpoint's meta data. What these
// lack is taken from the manifest of the config's data set, if it can be read. Prints notes for the
// user to stderr. Collective; an error is returned on every rank. Errors: InvalidArgument if the
// config has no data.val.pipeline, or if the mean and std of normalize {} are not known; those of
// PrepareModel() and TakeWeights().
absl::StatusOr<ServedModel> LoadServedModel(const LoadedConfig& loaded,
                                            const ServedModelOptions& options, Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_PREDICT_SERVED_MODEL_H_
