#ifndef FINETUNE_MAIN_COMMANDS_DIFF_H_
#define FINETUNE_MAIN_COMMANDS_DIFF_H_

#include <string>
#include <vector>

#include "src/main/config_flags.h"
#include "src/main/local_command.h"

namespace finetune {

class DiffCommand : public LocalCommand {
 public:
  std::string name() const override { return "diff"; }
  std::string summary() const override {
    return "Name the fields in which two configs differ, with the place of each value";
  }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override { return ConfigFlags::CheckSearchPath(config_path_); }
  absl::Status RunHere(const Invocation& invocation, std::string* output) override;

 private:
  std::string left_, right_;
  std::vector<std::string> config_path_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_DIFF_H_
