#ifndef FINETUNE_MAIN_COMMANDS_TRAIN_H_
#define FINETUNE_MAIN_COMMANDS_TRAIN_H_

#include <optional>
#include <string>
#include <vector>

#include "src/main/config_flags.h"
#include "src/main/rank_command.h"
#include "src/observe/trace.h"
#include "src/train/train.h"

namespace finetune {

class TrainCommand : public RankCommand {
 public:
  std::string name() const override { return "train"; }
  std::string summary() const override { return "Train, validate and save (the default command)"; }
  std::vector<std::string> examples() const override;
  void AddFlags(FlagList* flags) override;
  absl::Status Check() const override;

  const ConfigFlags& config() const { return config_; }
  // The options from the flags alone: `trace` is null, and `work_dir` is empty unless --work_dir is
  // given.
  const TrainOptions& options() const { return options_; }
  const std::string& trace_path() const { return trace_path_; }

 private:
  absl::StatusOr<LoadedConfig> Load() override { return config_.LoadExpanded(); }
  CommObserver Observer() override;
  absl::StatusOr<int> RunOnRanks(const LoadedConfig& loaded, Communicator* comm) override;

  ConfigFlags config_;
  TrainOptions options_;
  std::string trace_path_;
  bool quiet_ = false;
  bool verbose_ = false;
  // The communicator's thread records events in it until the communicator is destroyed.
  std::optional<Trace> trace_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_TRAIN_H_
