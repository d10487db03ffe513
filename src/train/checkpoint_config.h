#ifndef FINETUNE_TRAIN_CHECKPOINT_CONFIG_H_
#define FINETUNE_TRAIN_CHECKPOINT_CONFIG_H_

#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/config.h"

namespace finetune {

// Returns the config that a checkpoint of finetune carries; nothing for a file of another program.
// Errors: those of ReadTorchFile() and LoadConfigText(), which name the checkpoint.
absl::StatusOr<std::optional<LoadedConfig>> FindCheckpointConfig(
    const std::string& checkpoint, const std::vector<std::string>& overrides);

// The same, where a command needs a config. Errors: InvalidArgument where the checkpoint carries
// none, which advises to give --config.
absl::StatusOr<LoadedConfig> LoadCheckpointConfig(const std::string& checkpoint,
                                                  const std::vector<std::string>& overrides);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_CHECKPOINT_CONFIG_H_
