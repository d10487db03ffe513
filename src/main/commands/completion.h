#ifndef FINETUNE_MAIN_COMMANDS_COMPLETION_H_
#define FINETUNE_MAIN_COMMANDS_COMPLETION_H_

#include <string>
#include <vector>

#include "src/main/local_command.h"

namespace finetune {

class CompletionCommand : public LocalCommand {
 public:
  std::string name() const override { return "completion"; }
  std::string summary() const override {
    return "Print a script with which bash or zsh completes commands, flags and fields";
  }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override;
  absl::Status RunHere(const Invocation& invocation, std::string* output) override;

 private:
  std::string shell_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_COMPLETION_H_
