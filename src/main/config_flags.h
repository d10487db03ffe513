#ifndef FINETUNE_MAIN_CONFIG_FLAGS_H_
#define FINETUNE_MAIN_CONFIG_FLAGS_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/config.h"
#include "src/main/flags.h"

namespace finetune {

// The flags of a command that reads a config.
struct ConfigFlags {
  std::string config;
  std::vector<std::string> config_path;
  std::vector<std::string> set;

  void AddTo(FlagList* flags);
  // Adds --config_path alone.
  static void AddSearchPath(FlagList* flags, std::vector<std::string>* config_path);
  // Checks that a config is given and that the search path consists of folders. Errors:
  // InvalidArgument.
  absl::Status Check() const;
  // Checks that the search path consists of folders. Errors: InvalidArgument.
  static absl::Status CheckSearchPath(const std::vector<std::string>& config_path);

  // Loads the config. Paths in it are as the files have them. Errors: those of LoadConfig().
  absl::StatusOr<LoadedConfig> Load() const;
  // Loads the config and expands a leading "~" in its paths, for a command that opens them. Errors:
  // those of LoadConfig() and ExpandPaths().
  absl::StatusOr<LoadedConfig> LoadExpanded() const;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_CONFIG_FLAGS_H_
