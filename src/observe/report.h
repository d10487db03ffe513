#ifndef FINETUNE_OBSERVE_REPORT_H_
#define FINETUNE_OBSERVE_REPORT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/observe/first_batch.h"
#include "src/observe/record.h"

namespace finetune {

// Returns a report on a run as one HTML page that loads no other files. It shows images of the
// first batch, key figures, curves, a table of the classes, the confusion matrix and the config.
// `config_text`: the config, which is shown unchanged; empty for none. `first_batch`: the images;
// none if it is NotFound; another error is shown in their place.
std::string RenderReport(
    const History& history, absl::string_view config_text,
    const absl::StatusOr<FirstBatch>& first_batch = absl::NotFoundError("no images"));

// The first line of every report.html. It marks the file as written by finetune, so that it may be
// replaced.
extern const char kReportFirstLine[];

// Writes WORK_DIR/report.html from the run's records, its config.pbtxt and its first_batch.json,
// and returns its path. The file appears complete or not at all. Errors: NotFound if `work_dir` has
// no records of a run; those of CheckOwnText(), if report.html is another program's; those of
// reading and writing, with the file's name.
absl::StatusOr<std::string> WriteReport(const std::string& work_dir);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_REPORT_H_
