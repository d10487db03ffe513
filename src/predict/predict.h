#ifndef FINETUNE_PREDICT_PREDICT_H_
#define FINETUNE_PREDICT_PREDICT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/predict/rows.h"
#include "src/predict/served_model.h"

namespace finetune {

// The command line flags of `finetune predict` that do not belong to the config.
struct PredictFlags {
  ServedModelOptions model;
  // Paths of images, archives and folders; see ListImages().
  std::vector<std::string> paths;
  // A file with one image's path on each line. "-": read it from standard input. Empty: none.
  std::string list;
  RowFormat format = RowFormat::kJsonLines;
  // The file to which rank 0 writes the rows; it appears complete or not at all. Empty: rows go to
  // standard output, batch by batch.
  std::string out;
  int top_k = 5;
  int batch_size = 32;
  // The file to which rank 0 writes the features that the model's head gets; see FeatureFile for
  // its formats. The row of an image with an error is NaN. Empty: none.
  std::string features;
  // Whether existing files at `out` and `features` are replaced.
  bool force = false;
};

// Runs `finetune predict`: writes a row for each image, in the order in which the images are
// listed. Returns the number of images with an error. Only rank 0 lists archives and folders and
// reads flags.list; then each rank reads its own images. The rows do not depend on the number of
// ranks. Collective; an error is returned on every rank. Errors: those of CheckOutputs(),
// ListImages() and LoadServedModel(); InvalidArgument if there is no image; those of writing.
absl::StatusOr<int64_t> RunPredict(const LoadedConfig& loaded, const PredictFlags& flags,
                                   Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_PREDICT_PREDICT_H_
