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
  // Where its weights are, as PretrainedConfig has it.
  std::string key;
  EvaluatedWeights weights;
  // An image's probabilities are the mean of its own and of its mirror image's.
  bool flip = false;
  // Where rank 0 writes each image's probabilities, as ScoreFile has it. Empty: nowhere.
  std::string scores;
};

struct CheckpointEvaluation {
  // Of every image of data.val that could be read, in its order, and their indices.
  std::vector<Prediction> predictions;
  std::vector<int64_t> indices;
  std::vector<std::string> class_names;  // in the order of the model's outputs
  double seconds = 0;                    // from the first batch to the last rank's last
};

// Evaluates a checkpoint on data.val, whose labels are mapped to the checkpoint's by class name and
// whose pictures are normalised as the checkpoint's were. Rank 0 says on stderr where that differs
// from data.val's own. Collective: every rank calls it with the same arguments, and gets the same
// result or the same error; figures from it do not depend on how the images were divided between
// the ranks. A rank holds the scores of its own images alone, and only where they are to be
// written. Errors: InvalidArgument for classes that the checkpoint lacks; FailedPrecondition for a
// loss that is not finite.
absl::StatusOr<CheckpointEvaluation> EvaluateCheckpoint(const LoadedConfig& loaded,
                                                        const EvaluateOptions& options,
                                                        Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_EVALUATE_CHECKPOINT_H_
