#include "src/main/commands/help.h"

#include "src/main/help_text.h"

namespace finetune {

void HelpCommand::AddFlags(FlagList* flags) {
  flags->Text("COMMAND", "COMMAND", "The command to explain", &topic_);
}

absl::Status HelpCommand::RunHere(const Invocation& invocation, std::string* output) {
  for (const auto& command : invocation.commands) {
    if (command->name() == topic_) {
      *output = HelpOf(*command);
      return absl::OkStatus();
    }
  }
  *output = HelpOf(invocation.commands);
  return absl::OkStatus();
}

}  // namespace finetune
