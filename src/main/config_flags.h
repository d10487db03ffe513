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
  // Errors: InvalidArgument where no config is given, or a folder of the search path is not one.
  absl::Status Check() const;
  // The second part of it.
  static absl::Status CheckSearchPath(const std::vector<std::string>& config_path);

  // The config as its files have it. Errors: see LoadConfig().
  absl::StatusOr<LoadedConfig> Load() const;
  // The same, with a "~" in its paths expanded: for a command that opens them.
  absl::StatusOr<LoadedConfig> LoadExpanded() const;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_CONFIG_FLAGS_H_
