#ifndef FINETUNE_OBSERVE_REPORT_H_
#define FINETUNE_OBSERVE_REPORT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/observe/record.h"

namespace finetune {

// Returns the report as one HTML page that loads no other files: key figures, curves, a table of
// the classes, the confusion matrix and the config of a run. `config_text` is shown unchanged.
std::string RenderReport(const History& history, absl::string_view config_text);

// The first line of every WORK_DIR/report.html. It marks the file as written by finetune.
extern const char kReportFirstLine[];

// Writes WORK_DIR/report.html from the run's records and its config.pbtxt. The file appears
// complete or not at all. Returns its path. Errors: NotFound where `work_dir` holds no records of a
// run; those of CheckOwnText(); errors in reading and writing, which name the file.
absl::StatusOr<std::string> WriteReport(const std::string& work_dir);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_REPORT_H_
