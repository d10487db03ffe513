#include "src/main/commands/report.h"

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/observe/report.h"

namespace finetune {

void ReportCommand::AddFlags(FlagList* flags) {
  flags
      ->Path(Flag::Kind::kFolder, "WORK_DIR", "WORK_DIR",
             "The folder of the run, which may still go on", &work_dir_)
      ->required = true;
}

absl::Status ReportCommand::RunHere(const Invocation& /*invocation*/, std::string* output) {
  FT_ASSIGN_OR_RETURN(const std::string path, WriteReport(work_dir_));
  absl::StrAppend(output, path, "\n");
  return absl::OkStatus();
}

}  // namespace finetune
