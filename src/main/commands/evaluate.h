#ifndef FINETUNE_MAIN_COMMANDS_EVALUATE_H_
#define FINETUNE_MAIN_COMMANDS_EVALUATE_H_

#include <string>
#include <vector>

#include "src/main/config_flags.h"
#include "src/main/rank_command.h"
#include "src/train/evaluate_command.h"

namespace finetune {

class EvaluateCommand : public RankCommand {
 public:
  std::string name() const override { return "evaluate"; }
  std::string summary() const override { return "Evaluate a checkpoint on data.val"; }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override;

  const EvaluateFlags& flags() const { return flags_; }

 private:
  // Loads --config, or without it the config that the checkpoint carries.
  absl::StatusOr<LoadedConfig> Load() override;
  absl::StatusOr<int> RunOnRanks(const LoadedConfig& loaded, Communicator* comm) override;

  ConfigFlags config_;
  EvaluateFlags flags_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_EVALUATE_H_
