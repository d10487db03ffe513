#ifndef FINETUNE_OBSERVE_RUN_LOG_H_
#define FINETUNE_OBSERVE_RUN_LOG_H_

#include <cstdint>
#include <memory>
#include <string>

#include "src/base/status_macros.h"
#include "src/observe/record.h"
#include "src/observe/run_status.h"

namespace finetune {

// The messages that rank 0 prints on the console. The files hold the same at any verbosity, except
// for the additional lines of kVerbose.
enum class Verbosity {
  kQuiet,    // warnings and errors
  kNormal,   // log lines, and a progress line if the console is a terminal
  kVerbose,  // log lines, and a line for every iteration, also in the file
};

struct RunLogOptions {
  std::string work_dir;
  int rank = 0;
  std::string host;
  // Also writes an event file for `tensorboard --logdir=WORK_DIR`.
  bool tensorboard = false;
  Verbosity verbosity = Verbosity::kNormal;
};

// Reports a run to people and programs. Rank 0 writes to the console, to WORK_DIR/<time>.log, to
// WORK_DIR/<time>.jsonl with one JSON object a record (see record.h), and to TensorBoard's events;
// on a terminal it also redraws a progress line. From Run() on it also keeps WORK_DIR/status.json
// and WORK_DIR/metrics.prom up to date (see status_files.h). Other ranks print only warnings and
// errors, on stderr, with their rank and host.
//
// A file that cannot be written (a full disk) is reported once, on stderr, and does not end the
// run; Close() returns the first such error. Thread-safe.
class RunLog {
 public:
  // Errors: PermissionDenied, with the path and the reason, where a file cannot be created.
  static absl::StatusOr<std::unique_ptr<RunLog>> Open(const RunLogOptions& options);
  ~RunLog();

  void Info(const std::string& text);
  void Warning(const std::string& text);
  // Logs the error that ends the run. Rank 0 writes it only to the file, because the program prints
  // it on the console when it exits.
  void Error(const std::string& text);
  // Writes the run's own record to the .jsonl file, not to the console. Call it before the first
  // iteration.
  void Run(const RunRecord& record);
  void Iteration(const IterationRecord& record);
  // Redraws the progress line between two calls of Iteration().
  void Progress(const IterationRecord& record);
  // Redraws the progress line during a validation, after batch `done` of `total`.
  void EvaluationProgress(int64_t done, int64_t total);
  void Evaluation(const EvaluationRecord& record);

  // These three only change the run's status (see run_status.h), on rank 0. `file`: a checkpoint in
  // the work_dir, which is whole. May be called from any thread.
  void Saved(const std::string& file, int64_t iteration);
  void Best(const RunStatus::Best& best);
  // Sets how the run ended. Error() has set kFailed already.
  void End(RunState state);

  // Returns the path of the log files without their extensions: "WORK_DIR/20261124_101500".
  const std::string& stem() const;
  // Ends the progress line and closes the files. Returns the first error in writing any of them.
  absl::Status Close();

 private:
  class Impl;
  explicit RunLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Returns a duration as hours, minutes and seconds: "1:02:03".
std::string FormatDuration(double seconds);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_RUN_LOG_H_
