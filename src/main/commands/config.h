#ifndef FINETUNE_MAIN_COMMANDS_CONFIG_H_
#define FINETUNE_MAIN_COMMANDS_CONFIG_H_

#include <string>
#include <vector>

#include "src/main/config_flags.h"
#include "src/main/local_command.h"
#include "src/plan/check.h"

namespace finetune {

class ConfigCommand : public LocalCommand {
 public:
  std::string name() const override { return "config"; }
  std::string summary() const override {
    return "Print a config as it is used, with the place of each value; or check it before a job";
  }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override;
  absl::Status RunHere(const Invocation& invocation, std::string* output) override;

 private:
  ConfigFlags config_;
  bool origins_ = true;
  bool check_ = false;
  CheckedJob job_{.ranks = 0, .ranks_per_host = 0};  // 0: not given
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_CONFIG_H_
