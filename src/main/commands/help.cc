#include "src/main/commands/help.h"

#include "absl/strings/str_cat.h"
#include "src/base/man_page.h"
#include "src/base/status_macros.h"
#include "src/config/reference.h"
#include "src/main/help_text.h"
#include "src/main/man_page.h"

namespace finetune {

std::vector<std::string> HelpCommand::examples() const {
  return {"finetune help evaluate", "finetune --help=optimizer.sgd"};
}

void HelpCommand::AddFlags(FlagList* flags) {
  flags->Text("TOPIC", "TOPIC", "A command, or a field of a config, as optimizer.sgd", &topic_)
      ->kind = Flag::Kind::kTopic;
  flags->Path(Flag::Kind::kFolder, "--man", "DIR",
              "Write the manual pages of all commands into this folder, for man -l DIR/finetune.1",
              &man_);
}

absl::Status HelpCommand::Check() const {
  if (man_.empty() || topic_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--man: found the topic ", topic_, " beside it; it writes the pages of all commands"));
}

absl::Status HelpCommand::RunHere(const Invocation& invocation, std::string* output) {
  if (!man_.empty()) {
    FT_ASSIGN_OR_RETURN(*output,
                        WriteManPages(ManPages(invocation.commands), man_, kManPageFirstLine));
    return absl::OkStatus();
  }
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
