#ifndef FINETUNE_TRAIN_CHECKPOINT_CONFIG_H_
#define FINETUNE_TRAIN_CHECKPOINT_CONFIG_H_

#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/checkpoint/value.h"
#include "src/config/config.h"

namespace finetune {

// Returns the config in the "meta" dict of a checkpoint that finetune wrote; nothing for another
// program's dict. `name`: takes the place of a file's path in errors and origins. Errors: those of
// CheckCheckpointVersion() and LoadConfigText().
absl::StatusOr<std::optional<LoadedConfig>> ReadCheckpointConfig(
    const Value& meta, const std::string& name, const std::vector<std::string>& overrides);

// Returns the config that a checkpoint written by finetune carries; nothing for another program's
// file. Errors: those of ReadTorchFile() and ReadCheckpointConfig(), which name the checkpoint.
absl::StatusOr<std::optional<LoadedConfig>> FindCheckpointConfig(
    const std::string& checkpoint, const std::vector<std::string>& overrides);

// Like FindCheckpointConfig(), but requires a config. Errors: also InvalidArgument where the
// checkpoint carries none; the message advises to give --config.
absl::StatusOr<LoadedConfig> LoadCheckpointConfig(const std::string& checkpoint,
                                                  const std::vector<std::string>& overrides);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_CHECKPOINT_CONFIG_H_
