#ifndef FINETUNE_MAIN_COMMANDS_REPORT_H_
#define FINETUNE_MAIN_COMMANDS_REPORT_H_

#include <string>
#include <vector>

#include "src/main/local_command.h"

namespace finetune {

class ReportCommand : public LocalCommand {
 public:
  std::string name() const override { return "report"; }
  std::string summary() const override { return "Write WORK_DIR/report.html from a run's records"; }
  std::vector<std::string> examples() const override { return {"finetune report work_dirs/demo"}; }
  void AddFlags(FlagList* flags) override;
  absl::Status RunHere(const Invocation& invocation, std::string* output) override;

 private:
  std::string work_dir_;
};

}  // namespace finetune

#endif  // FINETUNE_MAIN_COMMANDS_REPORT_H_
