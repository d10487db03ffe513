#ifndef FINETUNE_MAIN_COMMANDS_HELP_H_
#define FINETUNE_MAIN_COMMANDS_HELP_H_

#include <string>
#include <vector>

#include "src/main/local_command.h"

namespace finetune {

// Prints help: "finetune help evaluate" (or "finetune evaluate --help") for a command; "finetune
// help optimizer.sgd" (or "finetune --help=optimizer.sgd") for a field of a config. "finetune help
// --man=DIR" writes all help as manual pages.
class HelpCommand : public LocalCommand {
 public:
  std::string name() const override { return "help"; }
  std::string summary() const override {
    return "Explain a command or a field of a config, as --help";
  }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override;
  absl::Status RunHere(const Invocation& invocation, std::string* output) override;

 private:
  std::string topic_;
  std::string man_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_HELP_H_
