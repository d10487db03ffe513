#ifndef FINETUNE_MAIN_COMMANDS_SUMMARY_H_
#define FINETUNE_MAIN_COMMANDS_SUMMARY_H_

#include <string>
#include <vector>

#include "src/main/config_flags.h"
#include "src/main/local_command.h"
#include "src/plan/summary.h"

namespace finetune {

class SummaryCommand : public LocalCommand {
 public:
  std::string name() const override { return "summary"; }
  std::string summary() const override {
    return "List the model's layers: shapes, parameters, multiply-adds, what is frozen, memory";
  }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override { return config_.Check(); }
  absl::Status RunHere(const Invocation& invocation, std::string* output) override;

 private:
  ConfigFlags config_;
  SummaryFlags flags_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_SUMMARY_H_
