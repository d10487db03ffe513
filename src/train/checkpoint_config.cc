#include "src/train/checkpoint_config.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/checkpoint/own_checkpoint.h"
#include "src/checkpoint/reader.h"
#include "src/validate/validate.h"

namespace finetune {

absl::StatusOr<std::optional<LoadedConfig>> ReadCheckpointConfig(
    const Value& meta, const std::string& name, const std::vector<std::string>& overrides) {
  const absl::StatusOr<std::string> text = meta.GetString("cfg");
  // Other programs store their own config under the same key.
  if (!NamesOwnWriter(meta) || !text.ok()) return std::nullopt;
  FT_RETURN_IF_ERROR(Annotate(CheckCheckpointVersion(meta), name));
  FT_ASSIGN_OR_RETURN(LoadedConfig loaded, LoadConfigText(*text, name, overrides, FindWrongValues));
  return std::optional<LoadedConfig>(std::move(loaded));
}

absl::StatusOr<std::optional<LoadedConfig>> FindCheckpointConfig(
    const std::string& checkpoint, const std::vector<std::string>& overrides) {
  FT_ASSIGN_OR_RETURN(const Value meta, ReadMeta(checkpoint));
  return ReadCheckpointConfig(meta, checkpoint, overrides);
}

absl::StatusOr<LoadedConfig> LoadCheckpointConfig(const std::string& checkpoint,
                                                  const std::vector<std::string>& overrides) {
  FT_ASSIGN_OR_RETURN(std::optional<LoadedConfig> loaded,
                      FindCheckpointConfig(checkpoint, overrides));
  if (loaded.has_value()) return *std::move(loaded);
  return absl::InvalidArgumentError(
      absl::StrCat(checkpoint, ": carries no config of finetune; give one as --config=F"));
}

}  // namespace finetune
