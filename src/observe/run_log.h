#ifndef FINETUNE_OBSERVE_RUN_LOG_H_
#define FINETUNE_OBSERVE_RUN_LOG_H_

#include <cstdint>
#include <memory>
#include <string>

#include "src/base/status_macros.h"
#include "src/observe/contact_sheet.h"
#include "src/observe/record.h"
#include "src/observe/run_status.h"

namespace finetune {

// Which messages rank 0 prints on the console. The log files do not depend on the verbosity,
// except that kVerbose adds lines to the .log file.
enum class Verbosity {
  kQuiet,    // only warnings and errors
  kNormal,   // also information, and a progress line if the console is a terminal
  kVerbose,  // as kNormal, but a line for every iteration instead of the progress line
};

struct RunLogOptions {
  std::string work_dir;
  int rank = 0;
  std::string host;
  // Whether to write an event file too, for `tensorboard --logdir=WORK_DIR`.
  bool tensorboard = false;
  Verbosity verbosity = Verbosity::kNormal;
};

// Reports a run to people and programs. Rank 0 writes to the console, to WORK_DIR/<time>.log, to
// WORK_DIR/<time>.jsonl (a JSON object for each record, see record.h), and to an event file for
// TensorBoard. On a terminal it also shows a progress line. From the first call of Run() or Error()
// on, it keeps WORK_DIR/status.json and WORK_DIR/metrics.prom up to date (see status_files.h).
// Other ranks print only warnings and errors, to stderr, with their rank and host.
//
// If a file cannot be written (because the disk is full), the run goes on. The first such error is
// reported on stderr and returned by Close(). Thread-safe.
class RunLog {
 public:
  // Creates the files. Errors: those of SystemError() or PermissionDenied, with the reason, if a
  // file cannot be created.
  static absl::StatusOr<std::unique_ptr<RunLog>> Open(const RunLogOptions& options);
  ~RunLog();

  void Info(const std::string& text);
  void Warning(const std::string& text);
  // Logs the error that ends the run. Rank 0 writes it only to the .log file, because the program
  // prints the error on the console when it exits.
  void Error(const std::string& text);
  // Records the start of the run in the .jsonl and event files, not on the console. Call it before
  // the first Iteration().
  void Run(const RunRecord& record);
  // Writes images of the first batch of this run to WORK_DIR/first_batch.json and to the event
  // file, on a thread of its own, which Close() waits for. `iteration`: the one that trains on
  // them. On other ranks than 0 it does nothing. Call it at most once.
  void ShowFirstBatch(ContactSheet images, int64_t iteration);
  // Logs an iteration to the console and to all files.
  void Iteration(const IterationRecord& record);
  // Updates the progress line with the state after an iteration that is not logged by Iteration().
  // With kVerbose it logs a line instead.
  void Progress(const IterationRecord& record);
  // Updates the progress line during a validation, after `done` of `total` batches.
  void EvaluationProgress(int64_t done, int64_t total);
  // Logs the result of a validation to the console and to all files.
  void Evaluation(const EvaluationRecord& record);

  // Saved(), Best() and End() change only the run's status (see run_status.h). On other ranks than
  // 0 they do nothing. Saved() records the checkpoint `file` in the work_dir, which must be
  // completely written.
  void Saved(const std::string& file, int64_t iteration);
  void Best(const RunStatus::Best& best);
  // Logs that the run ends before its time, and why, to the console and to all files but the event
  // file. End() must follow.
  void EndEarly(const EndRecord& record);
  // Records how the run ended. Not needed after Error(), which records kFailed.
  void End(RunState state);

  // Returns the path of the log files without their extensions, such as "WORK_DIR/20261124_101500".
  const std::string& stem() const;
  // Removes the progress line and flushes the files. Returns the first error in writing any of
  // them.
  absl::Status Close();

 private:
  class Impl;
  explicit RunLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Returns a duration as hours, minutes and seconds: "1:02:03". Returns "?" if `seconds` is not
// finite.
std::string FormatDuration(double seconds);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_RUN_LOG_H_
