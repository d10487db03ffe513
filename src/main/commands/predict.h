#ifndef FINETUNE_MAIN_COMMANDS_PREDICT_H_
#define FINETUNE_MAIN_COMMANDS_PREDICT_H_

#include <string>
#include <vector>

#include "src/main/checkpoint_flags.h"
#include "src/main/rank_command.h"
#include "src/predict/predict.h"

namespace finetune {

class PredictCommand : public RankCommand {
 public:
  std::string name() const override { return "predict"; }
  std::string summary() const override {
    return "Name the classes of images: files, folders, archives, a list";
  }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override;

 private:
  absl::StatusOr<LoadedConfig> Load() override { return checkpoint_.Load(); }
  absl::StatusOr<int> RunOnRanks(const LoadedConfig& loaded, Communicator* comm) override;

  CheckpointFlags checkpoint_;
  PredictFlags flags_;
  std::string format_ = "jsonl";
  std::string features_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_PREDICT_H_
