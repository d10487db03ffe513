#ifndef FINETUNE_TRAIN_EVALUATE_CHECKPOINT_H_
#define FINETUNE_TRAIN_EVALUATE_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/metrics/prediction.h"
#include "src/model/load.h"

namespace finetune {

struct EvaluateOptions {
  std::string checkpoint;
  // The checkpoint's entry that holds the weights, as PretrainedConfig.key. Empty: as where
  // PretrainedConfig.key is unset.
  std::string key;
  EvaluatedWeights weights;
  // Averages an image's probabilities with those of its mirror image.
  bool flip = false;
  // The file to which rank 0 writes each image's probabilities; see ScoreFile for its formats.
  // Empty: none is written.
  std::string scores;
};

struct CheckpointEvaluation {
  // One prediction for every image of data.val that could be read, and the image's index in the
  // split, both by ascending index.
  std::vector<Prediction> predictions;
  std::vector<int64_t> indices;
  // The number of damaged images of the split, which are left out. 0 unless data.on_corrupt is
  // SKIP.
  int64_t damaged = 0;
  std::vector<std::string> class_names;  // in the order of the model's outputs
  double seconds = 0;                    // from the first batch to the end of the slowest rank
};

// Evaluates a checkpoint on data.val. Labels are mapped to the checkpoint's classes by name, and
// images are normalized as in the checkpoint's training. Rank 0 reports on stderr where this
// differs from data.val's own labels or statistics. Collective: every rank calls it with the same
// arguments and gets the same result or the same error. The result does not depend on how the
// images were divided between the ranks. A rank keeps the scores of its own images only, and only
// where a score file is written. Errors: InvalidArgument for classes that the checkpoint lacks;
// FailedPrecondition for a loss that is not finite.
absl::StatusOr<CheckpointEvaluation> EvaluateCheckpoint(const LoadedConfig& loaded,
                                                        const EvaluateOptions& options,
                                                        Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_EVALUATE_CHECKPOINT_H_
