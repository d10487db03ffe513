#ifndef FINETUNE_MAIN_CHECKPOINT_FLAGS_H_
#define FINETUNE_MAIN_CHECKPOINT_FLAGS_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/config/config.h"
#include "src/main/config_flags.h"
#include "src/main/flags.h"
#include "src/train/evaluate_checkpoint.h"

namespace finetune {

// The flags of a command that takes a whole classifier from a checkpoint, and its config too where
// none is given.
struct CheckpointFlags {
  ConfigFlags config;
  std::string checkpoint;
  std::string key;
  EvaluatedWeights weights;

  // `checkpoint_help`: of --checkpoint.
  void AddTo(const std::string& checkpoint_help, FlagList* flags);
  // Errors: InvalidArgument where no checkpoint is given; those of ConfigFlags::Check().
  absl::Status Check() const;
  // The config that is given, else the one that the checkpoint carries; with a "~" in its paths
  // expanded. Errors: those of LoadConfig() and LoadCheckpointConfig().
  absl::StatusOr<LoadedConfig> Load() const;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_CHECKPOINT_FLAGS_H_
