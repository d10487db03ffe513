#ifndef FINETUNE_TRAIN_CHECKPOINT_CONFIG_H_
#define FINETUNE_TRAIN_CHECKPOINT_CONFIG_H_

#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/config.h"

namespace finetune {

// Returns the config that a checkpoint written by finetune carries; nothing for another program's
// file. Errors: those of ReadTorchFile() and LoadConfigText(), which name the checkpoint.
absl::StatusOr<std::optional<LoadedConfig>> FindCheckpointConfig(
    const std::string& checkpoint, const std::vector<std::string>& overrides);

// Like FindCheckpointConfig(), but requires a config. Errors: also InvalidArgument where the
// checkpoint carries none; the message advises to give --config.
absl::StatusOr<LoadedConfig> LoadCheckpointConfig(const std::string& checkpoint,
                                                  const std::vector<std::string>& overrides);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_CHECKPOINT_CONFIG_H_
