#ifndef FINETUNE_MAIN_CHECKPOINT_FLAGS_H_
#define FINETUNE_MAIN_CHECKPOINT_FLAGS_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/config/config.h"
#include "src/main/config_flags.h"
#include "src/main/flags.h"
#include "src/train/evaluate_checkpoint.h"

namespace finetune {

// The flags of a command that loads a whole classifier from a checkpoint. Where --config is not
// given, the command uses the config that the checkpoint carries.
struct CheckpointFlags {
  ConfigFlags config;
  std::string checkpoint;
  std::string key;
  EvaluatedWeights weights;

  // Adds the flags. `checkpoint_help`: the help text of --checkpoint.
  void AddTo(const std::string& checkpoint_help, FlagList* flags);
  // Errors: InvalidArgument where no checkpoint is given; those of ConfigFlags::Check().
  absl::Status Check() const;
  // Returns the config of --config, or the one that the checkpoint carries where --config is not
  // given. A leading "~" in its paths is expanded. Errors: those of LoadConfig() and
  // LoadCheckpointConfig().
  absl::StatusOr<LoadedConfig> Load() const;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_CHECKPOINT_FLAGS_H_
