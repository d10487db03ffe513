#ifndef FINETUNE_OBSERVE_RUN_STATUS_H_
#define FINETUNE_OBSERVE_RUN_STATUS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/observe/record.h"

namespace finetune {

// The version of the format of status.json. It is raised when an older finetune would misread the
// file.
inline constexpr int64_t kStatusFormatVersion = 1;

// The first line of WORK_DIR/status.json. It marks the file as written by finetune.
extern const char kStatusFirstLine[];

enum class RunState {
  kRunning,
  kDone,         // the run ended as planned
  kFailed,       // an error ended the run
  kInterrupted,  // a signal ended the run after a save; --resume=auto continues it
};

// Returns a metric's value for people: "1.2500" for the loss, "61.25 %" for a share from 0 to 1, as
// all other metrics are.
std::string MetricText(absl::string_view metric, double value);

// Returns the state's name in status.json: "RUNNING", "DONE", "FAILED" or "INTERRUPTED".
absl::string_view NameOf(RunState state);

// The state of a run at one moment. Rank 0 writes it to WORK_DIR/status.json, for `finetune watch`
// and other programs. Members whose names end in "unix_s" are seconds since 1970.
struct RunStatus {
  // The best validation so far.
  struct Best {
    std::string metric;  // "top1"
    double value = 0;    // see MetricText()
    int64_t iteration = 0;
  };
  struct Checkpoint {
    std::string file;  // its name in the work_dir: "epoch_3.pth"
    int64_t iteration = 0;
    double saved_unix_s = 0;
  };
  struct Warning {
    double unix_s = 0;
    std::string text;
  };
  // A status keeps only this many warnings, the newest ones.
  static constexpr size_t kMostWarnings = 5;

  RunState state = RunState::kRunning;
  std::string error;  // the error that ended the run; empty unless the state is kFailed
  // Why the run ended before its time as its config says; empty if it did not.
  std::string reason;
  RunRecord run;    // without class names
  int64_t pid = 0;  // the process id of rank 0 on the host run.host
  double updated_unix_s = 0;
  // The state after the last iteration, as in the .jsonl file. nullopt before the first iteration.
  std::optional<IterationRecord> training;
  // The last validation, without the results of each class.
  std::optional<EvaluationRecord> validation;
  // The numbers of batches of the validation that is running: those done, and all. Both are 0 if no
  // validation is running.
  int64_t validation_done = 0, validation_total = 0;
  std::optional<Best> best;
  std::optional<Checkpoint> checkpoint;  // the last one that is completely written
  std::vector<Warning> warnings;         // the oldest first
};

// Returns the text of status.json. Its objects "run", "train" and "val" have the fields of the
// records in the .jsonl file.
std::string ToJson(const RunStatus& status);

// Parses the text of a status.json. Missing fields keep the defaults of RunStatus. Errors:
// InvalidArgument for text that is not a status of finetune, and for a status with a newer format
// version; the latter error names both versions.
absl::StatusOr<RunStatus> ParseRunStatus(absl::string_view text);

// Returns the state of the run in `work_dir`. Errors, which name the path: NotFound if there is no
// status.json; those of ParseRunStatus() and ReadRegularFile().
absl::StatusOr<RunStatus> ReadRunStatus(const std::string& work_dir);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_RUN_STATUS_H_
