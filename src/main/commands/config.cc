#include "src/main/commands/config.h"

#include "src/base/status_macros.h"
#include "src/config/print.h"
#include "src/validate/validate.h"

namespace finetune {

std::vector<std::string> ConfigCommand::examples() const {
  return {"finetune config --config=resnet50_cifar.pbtxt",
          "finetune config --config=resnet50_cifar.pbtxt --origins=false > without_imports.pbtxt"};
}

void ConfigCommand::AddFlags(FlagList* flags) {
  config_.AddTo(flags);
  flags->TrueOrFalse("--origins", "Say where each value was set (default true)", &origins_);
}

absl::Status ConfigCommand::RunHere(const Invocation& /*invocation*/, std::string* output) {
  FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, config_.Load());
  *output = PrintConfig(loaded, origins_);
  // The data and the number of ranks are not known here; a run checks what depends on them.
  return ValidateConfig(loaded, RunFacts()).status();
}

}  // namespace finetune
