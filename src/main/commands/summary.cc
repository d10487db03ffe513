#include "src/main/commands/summary.h"

#include <utility>

#include "src/base/status_macros.h"

namespace finetune {

std::vector<std::string> SummaryCommand::examples() const {
  return {"finetune summary --config=resnet50_cifar.pbtxt",
          "finetune summary --config=resnet50_cifar.pbtxt --depth=0 --memory=false"};
}

void SummaryCommand::AddFlags(FlagList* flags) {
  config_.AddTo(flags);
  flags->WholeNumber("--depth", "Parts of a layer's name that are shown; 0: all (default 2)", 0,
                     1 << 20, &flags_.depth);
  flags->TrueOrFalse("--memory",
                     "Train a few iterations on one process, to measure its memory (default true)",
                     &flags_.memory);
}

absl::Status SummaryCommand::RunHere(const Invocation& /*invocation*/, std::string* output) {
  FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, config_.LoadExpanded());
  absl::StatusOr<std::string> summary = Summarize(loaded, flags_);
  if (!summary.ok()) return loaded.WithPlace(summary.status());
  *output = *std::move(summary);
  return absl::OkStatus();
}

}  // namespace finetune
