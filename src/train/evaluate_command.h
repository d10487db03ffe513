#ifndef FINETUNE_TRAIN_EVALUATE_COMMAND_H_
#define FINETUNE_TRAIN_EVALUATE_COMMAND_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/train/evaluate_checkpoint.h"

namespace finetune {

// The flags of `finetune evaluate` that are not the config's.
struct EvaluateFlags {
  EvaluateOptions evaluate;
  // Another checkpoint to compare with. Empty: none. One of finetune brings its network and its
  // pipeline along; another is read as the first is.
  std::string compare;
  // Where rank 0 writes all figures as JSON. Empty: nowhere.
  std::string output;
};

// Does what `finetune evaluate` does. Returns what to print, which is empty but on rank 0: one line
// with pictures, loss and top-k accuracy, then a table (see ToTable()). Collective. Errors: those
// of EvaluateCheckpoint(); those of writing the files, before the work where they show there.
absl::StatusOr<std::string> RunEvaluate(const LoadedConfig& loaded, const EvaluateFlags& flags,
                                        Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_EVALUATE_COMMAND_H_
