#ifndef FINETUNE_TRAIN_EVALUATE_COMMAND_H_
#define FINETUNE_TRAIN_EVALUATE_COMMAND_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/train/evaluate_checkpoint.h"

namespace finetune {

// The flags of `finetune evaluate`, without those that choose the config.
struct EvaluateFlags {
  EvaluateOptions evaluate;
  // A second checkpoint to compare with. Empty: none. If finetune wrote it, it is evaluated with
  // the network and pipeline of its own config; otherwise with those of the first checkpoint.
  std::string compare;
  // The file to which rank 0 writes all metrics as JSON. Empty: none is written.
  std::string output;
  // Whether existing files at `output` and `evaluate.scores` are replaced.
  bool force = false;
};

// Runs `finetune evaluate`. On rank 0 it returns the text to print: one line with images, loss and
// top-k accuracy, then a table (see ToTable()). On other ranks the text is empty. Collective.
// Errors: those of CheckOutputs(), before the evaluation starts; those of EvaluateCheckpoint();
// those of writing the files.
absl::StatusOr<std::string> RunEvaluate(const LoadedConfig& loaded, const EvaluateFlags& flags,
                                        Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_EVALUATE_COMMAND_H_
