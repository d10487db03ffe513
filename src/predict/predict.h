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

// The flags of `finetune predict` that are not the config's.
struct PredictFlags {
  ServedModelOptions model;
  // Images, archives and folders; see ListImages().
  std::vector<std::string> paths;
  // A file with one path a line; "-": standard input. Empty: none.
  std::string list;
  RowFormat format = RowFormat::kJsonLines;
  // Where rank 0 writes the rows, whole or not at all. Empty: standard output, a batch at a time.
  std::string out;
  int top_k = 5;
  int batch_size = 32;
  // Where rank 0 writes the features that the head takes: a .npy, [images, channels] float32,
  // whose row i belongs to row i of the answers; NaN for an image with an error. Empty: nowhere.
  std::string features;
};

// Does what `finetune predict` does: a row for each image, in the order of the list. Returns the
// number of rows with an error. Rank 0 alone reads the list and standard input, and opens archives
// and folders to list them; each rank reads its own images. The rows do not depend on the number
// of ranks. Collective; an error is returned on every rank. Errors: those of ListImages() and
// LoadServedModel(); InvalidArgument where there is no image; those of writing.
absl::StatusOr<int64_t> RunPredict(const LoadedConfig& loaded, const PredictFlags& flags,
                                   Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_PREDICT_PREDICT_H_
