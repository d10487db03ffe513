#include "src/main/config_flags.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "src/config/expand_paths.h"
#include "src/config/search.h"
#include "src/validate/validate.h"

namespace finetune {

void ConfigFlags::AddTo(FlagList* flags) {
  flags->Path(Flag::Kind::kConfig, "--config", "FILE",
              "Config, also sought in --config_path and among the installed ones", &config);
  AddSearchPath(flags, &config_path);
  flags
      ->Texts("--set", "PATH=VALUE", "Set a field, as in --set=optimizer.sgd.lr=0.02; repeatable",
              &set)
      ->kind = Flag::Kind::kField;
}

void ConfigFlags::AddSearchPath(FlagList* flags, std::vector<std::string>* config_path) {
  flags->Paths(Flag::Kind::kFolder, "--config_path", "DIR",
               "Folder to seek configs and their imports in; repeatable", config_path);
}

absl::Status ConfigFlags::Check() const {
  if (config.empty()) {
    return absl::InvalidArgumentError(
        "--config is not given; for example --config=resnet50_cifar.pbtxt (see --help)");
  }
  return CheckSearchPath(config_path);
}

absl::Status ConfigFlags::CheckSearchPath(const std::vector<std::string>& config_path) {
  for (const std::string& folder : config_path) {
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--config_path=", folder, ": expected a folder, found ",
                       std::filesystem::exists(folder, error) ? "a file" : "nothing"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<LoadedConfig> ConfigFlags::Load() const {
  LoadOptions options;
  options.search_path = ConfigSearchPath(config_path);
  options.overrides = set;
  options.find_value_errors = FindWrongValues;
  return LoadConfig(config, options);
}

absl::StatusOr<LoadedConfig> ConfigFlags::LoadExpanded() const {
  FT_ASSIGN_OR_RETURN(LoadedConfig loaded, Load());
  FT_RETURN_IF_ERROR(ExpandPaths(&loaded));
  return loaded;
}

}  // namespace finetune
