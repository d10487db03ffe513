#ifndef FINETUNE_TRAIN_ITERATION_LOG_H_
#define FINETUNE_TRAIN_ITERATION_LOG_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "src/observe/run_log.h"
#include "src/train/calendar.h"

namespace finetune {

// Averages the facts of the iterations between two log lines, and writes the log lines.
class IterationLog {
 public:
  // The facts of one iteration.
  struct Iteration {
    int64_t number = 0;  // from 1
    double lr = 0;
    std::optional<double> gradient_norm;
    double seconds = 0;
    double data_seconds = 0;  // waiting for data, a part of `seconds`
    int64_t images = 0;       // of the global batch
  };

  // `calendar` and `log` must outlive this object. `device`: the device whose peak memory is
  // logged.
  IterationLog(const Calendar* calendar, at::Device device, RunLog* log)
      : calendar_(*calendar), device_(device), log_(*log) {}

  void AddLoss(double loss);
  // Adds an iteration. Writes a log line where Calendar::LogIsDue() says so; otherwise it redraws
  // the progress line.
  void Add(const Iteration& iteration);
  // Sets the duration of the last validation. The estimate of the remaining time assumes that later
  // validations take as long.
  void SetValidationSeconds(double seconds) { validation_seconds_ = seconds; }

 private:
  struct Window {
    double loss = 0, seconds = 0, data_seconds = 0;
    int64_t images = 0;
    int iterations = 0, losses = 0;
  };

  const Calendar& calendar_;
  const at::Device device_;
  RunLog& log_;
  Window window_;
  double validation_seconds_ = 0;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_ITERATION_LOG_H_
