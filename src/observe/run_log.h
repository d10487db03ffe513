#ifndef FINETUNE_OBSERVE_RUN_LOG_H_
#define FINETUNE_OBSERVE_RUN_LOG_H_

#include <cstdint>
#include <memory>
#include <string>

#include "src/base/status_macros.h"
#include "src/observe/record.h"

namespace finetune {

// What rank 0's console shows. The files hold the same at any verbosity, but for kVerbose's lines.
enum class Verbosity {
  kQuiet,    // warnings and errors
  kNormal,   // the log, and on a terminal a progress line
  kVerbose,  // the log, and a line for every iteration, also in the log's file
};

struct RunLogOptions {
  std::string work_dir;
  int rank = 0;
  std::string host;
  // Also an event file for `tensorboard --logdir=WORK_DIR`.
  bool tensorboard = false;
  Verbosity verbosity = Verbosity::kNormal;
};

// What a run tells people and programs. Rank 0: the console, WORK_DIR/<time>.log,
// WORK_DIR/<time>.jsonl with one JSON object a record (see record.h), and TensorBoard's events; on
// a terminal also a progress line that is redrawn. Other ranks: only warnings and errors, on
// stderr, with their rank and host.
//
// A file that cannot be written (a full disk) is reported once, on stderr, and does not end the
// run; Close() returns the first such error. May be used from several threads.
class RunLog {
 public:
  // Errors: PermissionDenied, with the path and the reason, where a file cannot be made.
  static absl::StatusOr<std::unique_ptr<RunLog>> Open(const RunLogOptions& options);
  ~RunLog();

  void Info(const std::string& text);
  void Warning(const std::string& text);
  // What ends the run. Rank 0 only writes it to the file: whoever ends the program tells people.
  void Error(const std::string& text);
  // Before the first iteration; for programs, the console does not show it.
  void Run(const RunRecord& record);
  void Iteration(const IterationRecord& record);
  // Between two Iteration()s: only redraws the progress line.
  void Progress(const IterationRecord& record);
  // The same while batch `done` of `total` is evaluated.
  void EvaluationProgress(int64_t done, int64_t total);
  void Evaluation(const EvaluationRecord& record);

  // The files' common path without ending: "WORK_DIR/20261124_101500".
  const std::string& stem() const;
  // Ends the progress line and the files. OK, or the first error in writing any of them.
  absl::Status Close();

 private:
  class Impl;
  explicit RunLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// "1:02:03".
std::string FormatDuration(double seconds);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_RUN_LOG_H_
