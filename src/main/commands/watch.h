#ifndef FINETUNE_MAIN_COMMANDS_WATCH_H_
#define FINETUNE_MAIN_COMMANDS_WATCH_H_

#include <string>
#include <vector>

#include "src/main/command.h"

namespace finetune {

// Shows a run of another process, from the files in the run's work_dir. On a terminal it redraws
// the screen until the run ends. The exit code is kExitDone if the run is alive or done,
// kExitFailed if it has failed, is stale or its process is gone, kExitStopped if it was
// interrupted, and kExitUsage if there is no run in the work_dir.
class WatchCommand : public Command {
 public:
  std::string name() const override { return "watch"; }
  std::string summary() const override { return "Show a run of another terminal or node"; }
  std::vector<std::string> examples() const override {
    return {"finetune watch work_dirs/demo", "finetune watch work_dirs/demo --once"};
  }
  void AddFlags(FlagList* flags) override;
  int Run(const Invocation& invocation) override;

 private:
  std::string work_dir_;
  bool once_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_WATCH_H_
