#ifndef FINETUNE_MAIN_COMMANDS_EVALUATE_H_
#define FINETUNE_MAIN_COMMANDS_EVALUATE_H_

#include <string>
#include <vector>

#include "src/main/checkpoint_flags.h"
#include "src/main/rank_command.h"
#include "src/train/evaluate_command.h"

namespace finetune {

class EvaluateCommand : public RankCommand {
 public:
  std::string name() const override { return "evaluate"; }
  std::string summary() const override { return "Evaluate a checkpoint on data.val"; }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override { return checkpoint_.Check(); }

  // Returns all flags of the command, those of checkpoint_ included.
  EvaluateFlags flags() const;

 private:
  absl::StatusOr<LoadedConfig> Load() override { return checkpoint_.Load(); }
  absl::StatusOr<int> RunOnRanks(const LoadedConfig& loaded, Communicator* comm) override;

  CheckpointFlags checkpoint_;
  EvaluateFlags flags_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_EVALUATE_H_
