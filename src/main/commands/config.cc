#include "src/main/commands/config.h"

#include <algorithm>
#include <utility>

#include "src/base/status_macros.h"
#include "src/config/print.h"
#include "src/plan/check.h"
#include "src/validate/validate.h"

namespace finetune {

std::vector<std::string> ConfigCommand::examples() const {
  return {"finetune config --config=resnet50_cifar.pbtxt --origins=false > without_imports.pbtxt",
          "finetune config --config=resnet50_cifar.pbtxt --check --ranks=64"};
}

void ConfigCommand::AddFlags(FlagList* flags) {
  config_.AddTo(flags);
  flags->TrueOrFalse("--origins", "Say where each value was set (default true)", &origins_);
  flags->Switch("--check",
                "Instead of printing, do all that a run does before its first iteration: open the "
                "data, make the model, fetch and read the first weights, measure the memory",
                &check_);
  flags->WholeNumber("--ranks", "The run's number of ranks, for --check (default 1)", 1, 1 << 20,
                     &ranks_);
}

absl::Status ConfigCommand::Check() const {
  FT_RETURN_IF_ERROR(config_.Check());
  if (ranks_ > 0 && !check_) {
    return absl::InvalidArgumentError("--ranks is for a check: give --check too");
  }
  return absl::OkStatus();
}

absl::Status ConfigCommand::RunHere(const Invocation& /*invocation*/, std::string* output) {
  if (check_) {
    FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, config_.LoadExpanded());
    absl::StatusOr<std::string> checked = CheckRun(loaded, std::max(ranks_, 1));
    if (!checked.ok()) return loaded.WithPlace(checked.status());
    *output = *std::move(checked);
    return absl::OkStatus();
  }
  FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, config_.Load());
  *output = PrintConfig(loaded, origins_);
  // The data and the number of ranks are not known here. Checks that need them are made only at the
  // start of a run.
  return ValidateConfig(loaded, RunFacts()).status();
}

}  // namespace finetune
