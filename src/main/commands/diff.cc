#include "src/main/commands/diff.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/config/diff.h"

namespace finetune {

std::vector<std::string> DiffCommand::examples() const {
  return {"finetune diff resnet50_cifar.pbtxt resnet18_cifar10_scratch.pbtxt",
          "finetune diff work_dirs/first/config.pbtxt work_dirs/second/config.pbtxt"};
}

void DiffCommand::AddFlags(FlagList* flags) {
  for (const auto& [name, variable] : {std::pair{"CONFIG", &left_}, {"OTHER_CONFIG", &right_}}) {
    flags
        ->Path(Flag::Kind::kConfig, name, name,
               "Config, also sought in --config_path and among the installed ones", variable)
        ->required = true;
  }
  ConfigFlags::AddSearchPath(flags, &config_path_);
}

absl::Status DiffCommand::RunHere(const Invocation& /*invocation*/, std::string* output) {
  const auto load = [&](const std::string& file) {
    return ConfigFlags{.config = file, .config_path = config_path_, .set = {}}.Load();
  };
  FT_ASSIGN_OR_RETURN(const LoadedConfig left, load(left_));
  FT_ASSIGN_OR_RETURN(const LoadedConfig right, load(right_));
  const std::vector<FieldDiff> diffs = DiffConfigs(left, right);
  *output = diffs.empty()
                ? "no field differs\n"
                : absl::StrCat("- ", left.file, "\n+ ", right.file, "\n\n", FormatDiff(diffs));
  return absl::OkStatus();
}

}  // namespace finetune
