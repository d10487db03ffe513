#ifndef FINETUNE_TRAIN_EVALUATE_CHECKPOINT_H_
#define FINETUNE_TRAIN_EVALUATE_CHECKPOINT_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/model/load.h"
#include "src/train/evaluate.h"

namespace finetune {

struct EvaluateOptions {
  std::string checkpoint;
  // Where its weights are, as PretrainedConfig has it.
  std::string key;
  EvaluatedWeights weights;
};

// Evaluates a checkpoint on data.val, whose labels are mapped to the checkpoint's by class name and
// whose pictures are normalised as the checkpoint's were. Rank 0 says on stderr where that differs
// from data.val's own. Collective: every rank calls it with the same arguments, and gets the same
// result or the same error. Errors: InvalidArgument for classes that the checkpoint lacks;
// FailedPrecondition for a loss that is not finite.
absl::StatusOr<Evaluation> EvaluateCheckpoint(const LoadedConfig& loaded,
                                              const EvaluateOptions& options, Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_EVALUATE_CHECKPOINT_H_
