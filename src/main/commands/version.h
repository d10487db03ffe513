#ifndef FINETUNE_MAIN_COMMANDS_VERSION_H_
#define FINETUNE_MAIN_COMMANDS_VERSION_H_

#include <string>
#include <vector>

#include "src/main/local_command.h"

namespace finetune {

class VersionCommand : public LocalCommand {
 public:
  std::string name() const override { return "version"; }
  std::string summary() const override { return "Print which build this is, as --version"; }
  std::vector<std::string> examples() const override { return {"finetune version"}; }
  void AddFlags(FlagList* /*flags*/) override {}
  absl::Status RunHere(const Invocation& invocation, std::string* output) override;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_VERSION_H_
