#ifndef FINETUNE_OBSERVE_RUN_LOG_H_
#define FINETUNE_OBSERVE_RUN_LOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "src/base/status_macros.h"

namespace finetune {

// The state of training at one iteration; times and loss are means since the last record.
struct IterationRecord {
  int64_t epoch = 0;      // from 1
  int64_t iteration = 0;  // done, from the start of the run
  int64_t iterations_per_epoch = 1;
  int64_t total_iterations = 0;
  double loss = 0;
  double lr = 0;
  double time_s = 0;       // an iteration
  double data_time_s = 0;  // of it, waiting for data
  double eta_s = 0;
  double images_per_s = 0;
  int64_t memory_mib = 0;  // the process's peak
  std::optional<double> gradient_norm;
};

// One validation.
struct EvaluationRecord {
  int64_t epoch = 0;
  int64_t iteration = 0;
  double loss = 0;
  std::map<std::string, double> accuracy;  // "top1": 0..1
  double seconds = 0;
  int64_t pictures = 0;
};

struct RunLogOptions {
  std::string work_dir;
  int rank = 0;
  std::string host;
  // Also an event file for `tensorboard --logdir=WORK_DIR`.
  bool tensorboard = false;
};

// What a run tells people and programs. Rank 0: the console, WORK_DIR/<time>.log, and
// WORK_DIR/<time>.jsonl with one JSON object a record; on a terminal also a progress line that is
// redrawn. Other ranks: only warnings and errors, on stderr, with their rank and host.
//
// A log that cannot be written (a full disk) is reported once and does not end the run.
class RunLog {
 public:
  static absl::StatusOr<std::unique_ptr<RunLog>> Open(const RunLogOptions& options);
  ~RunLog();

  void Info(const std::string& text);
  void Warning(const std::string& text);
  void Error(const std::string& text);
  void Iteration(const IterationRecord& record);
  // Between two Iteration()s: only redraws the progress line.
  void Progress(const IterationRecord& record);
  void Evaluation(const EvaluationRecord& record);

  // The files' common path without ending: "WORK_DIR/20261124_101500".
  const std::string& stem() const;
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
