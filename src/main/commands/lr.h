#ifndef FINETUNE_MAIN_COMMANDS_LR_H_
#define FINETUNE_MAIN_COMMANDS_LR_H_

#include <string>
#include <vector>

#include "src/main/config_flags.h"
#include "src/main/rank_command.h"
#include "src/tune/lr.h"

namespace finetune {

class LrCommand : public RankCommand {
 public:
  std::string name() const override { return "lr"; }
  std::string summary() const override { return "Suggest a learning rate by a range test"; }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override;

 private:
  absl::StatusOr<LoadedConfig> Load() override { return config_.LoadExpanded(); }
  absl::StatusOr<int> RunOnRanks(const LoadedConfig& loaded, Communicator* comm) override;

  ConfigFlags config_;
  LrFlags flags_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_LR_H_
