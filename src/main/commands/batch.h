#ifndef FINETUNE_MAIN_COMMANDS_BATCH_H_
#define FINETUNE_MAIN_COMMANDS_BATCH_H_

#include <string>
#include <vector>

#include "src/main/config_flags.h"
#include "src/main/rank_command.h"
#include "src/tune/batch.h"

namespace finetune {

class BatchCommand : public RankCommand {
 public:
  std::string name() const override { return "batch"; }
  std::string summary() const override {
    return "Find the largest micro-batch that fits, and the fastest";
  }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override;

 private:
  absl::StatusOr<LoadedConfig> Load() override { return config_.LoadExpanded(); }
  absl::StatusOr<int> RunOnRanks(const LoadedConfig& loaded, Communicator* comm) override;

  ConfigFlags config_;
  BatchFlags flags_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_BATCH_H_
