#include "src/main/commands/completion.h"

#include "absl/strings/str_cat.h"
#include "src/main/completion.h"

namespace finetune {

std::vector<std::string> CompletionCommand::examples() const {
  return {"source <(finetune completion bash)",
          "finetune completion zsh > \"${fpath[1]}/_finetune\""};
}

void CompletionCommand::AddFlags(FlagList* flags) {
  Flag* const shell = flags->Text("SHELL", "SHELL", "bash or zsh", &shell_);
  shell->choices = {"bash", "zsh"};
  shell->required = true;
}

absl::Status CompletionCommand::Check() const {
  if (shell_ == "bash" || shell_ == "zsh") return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("SHELL: expected bash or zsh, got ", shell_));
}

absl::Status CompletionCommand::RunHere(const Invocation& invocation, std::string* output) {
  *output = shell_ == "bash" ? BashCompletion(invocation.commands, ValueFields())
                             : ZshCompletion(invocation.commands, ValueFields());
  return absl::OkStatus();
}

}  // namespace finetune
