#ifndef FINETUNE_MAIN_COMMANDS_WATCH_H_
#define FINETUNE_MAIN_COMMANDS_WATCH_H_

#include <string>
#include <vector>

#include "src/main/command.h"

namespace finetune {

// Shows a run that another process makes, from the files in its work_dir. On a terminal it redraws
// the screen until the run ends. The exit code is that of the run so far: kExitDone while it goes
// on or when it is done, kExitFailed when it has failed, is stale or its process is gone,
// kExitStopped when it was interrupted; kExitUsage where there is no run.
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
