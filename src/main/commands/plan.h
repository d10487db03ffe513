#ifndef FINETUNE_MAIN_COMMANDS_PLAN_H_
#define FINETUNE_MAIN_COMMANDS_PLAN_H_

#include <string>
#include <vector>

#include "src/main/config_flags.h"
#include "src/main/local_command.h"
#include "src/plan/command.h"

namespace finetune {

class PlanCommand : public LocalCommand {
 public:
  std::string name() const override { return "plan"; }
  std::string summary() const override {
    return "Predict step time, efficiency, memory and hours on other numbers of ranks";
  }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override { return config_.Check(); }
  absl::Status RunHere(const Invocation& invocation, std::string* output) override;

  const ConfigFlags& config() const { return config_; }
  const PlanFlags& flags() const { return flags_; }

 private:
  ConfigFlags config_;
  PlanFlags flags_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_PLAN_H_
