#ifndef FINETUNE_OBSERVE_REPORT_H_
#define FINETUNE_OBSERVE_REPORT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/observe/record.h"

namespace finetune {

// One page, for any browser and with nothing to load: key figures, curves, a table of the
// classes, the confusion matrix and the config of a run. `config_text` is shown as it is.
std::string RenderReport(const History& history, absl::string_view config_text);

// The first line of every WORK_DIR/report.html, which says that finetune wrote it.
extern const char kReportFirstLine[];

// Writes WORK_DIR/report.html from the run's records and its config.pbtxt, whole or not at all.
// Returns its path. Errors: NotFound where `work_dir` holds no records of a run; those
// of CheckOwnText(); those of reading and writing name the file.
absl::StatusOr<std::string> WriteReport(const std::string& work_dir);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_REPORT_H_
