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

// A checkpoint's model for images that are in no data set.
struct ServedModel {
  Setup setup;  // without loaders
  ImagePipeline pipeline;
  // In the order of the model's outputs; the outputs' numbers where nothing names the classes.
  std::vector<std::string> class_names;
};

struct ServedModelOptions {
  std::string checkpoint;
  // Where its weights are, as PretrainedConfig has it.
  std::string key;
  EvaluatedWeights weights;
};

// Loads the checkpoint into the network of the config, and takes from its meta the classes, the
// mean and std, and how its data set stores images. A checkpoint that lacks them is taken for one
// of the config's data, where their manifest can be read. Prints on stderr what the user must know.
// Collective; an error is returned on every rank. Errors: InvalidArgument where the config has no
// data.val.pipeline, or where nothing says by which mean and std images were normalised; those of
// PrepareModel() and TakeWeights().
absl::StatusOr<ServedModel> LoadServedModel(const LoadedConfig& loaded,
                                            const ServedModelOptions& options, Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_PREDICT_SERVED_MODEL_H_
