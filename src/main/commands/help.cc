#include "src/main/commands/help.h"

#include "src/base/status_macros.h"
#include "src/config/reference.h"
#include "src/main/help_text.h"

namespace finetune {

std::vector<std::string> HelpCommand::examples() const {
  return {"finetune help evaluate", "finetune --help=optimizer.sgd"};
}

void HelpCommand::AddFlags(FlagList* flags) {
  flags->Text("TOPIC", "TOPIC", "A command, or a field of a config, as optimizer.sgd", &topic_);
}

absl::Status HelpCommand::RunHere(const Invocation& invocation, std::string* output) {
  if (topic_.empty()) {
    *output = HelpOf(invocation.commands);
    return absl::OkStatus();
  }
  for (const auto& command : invocation.commands) {
    if (command->name() == topic_) {
      *output = HelpOf(*command);
      return absl::OkStatus();
    }
  }
  FT_ASSIGN_OR_RETURN(*output, DescribeField(topic_));
  return absl::OkStatus();
}

}  // namespace finetune
