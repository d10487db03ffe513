#include "src/train/iteration_log.h"

#include <algorithm>

#include "src/observe/record.h"
#include "src/train/device.h"

namespace finetune {

void IterationLog::AddLoss(double loss) {
  window_.loss += loss;
  ++window_.losses;
}

void IterationLog::Add(const Iteration& iteration) {
  window_.seconds += iteration.seconds;
  window_.data_seconds += iteration.data_seconds;
  window_.images += iteration.images;
  ++window_.iterations;
  const double each = 1.0 / window_.iterations;
  const int64_t left = calendar_.last_iteration() - iteration.number;
  IterationRecord record;
  record.epoch = calendar_.Epoch(iteration.number);
  record.iteration = iteration.number;
  record.iterations_per_epoch = calendar_.iterations_per_epoch();
  record.total_iterations = calendar_.last_iteration();
  record.averaged = window_.iterations;
  record.loss = window_.loss / std::max(window_.losses, 1);
  record.lr = iteration.lr;
  record.time_s = window_.seconds * each;
  record.data_time_s = window_.data_seconds * each;
  record.eta_s =
      record.time_s * static_cast<double>(left) +
      validation_seconds_ * static_cast<double>(calendar_.ValidationsLeft(iteration.number));
  record.images_per_s = static_cast<double>(window_.images) / window_.seconds;
  record.memory_mib = PeakMemoryMebibytes(device_);
  record.gradient_norm = iteration.gradient_norm;
  if (calendar_.LogIsDue(iteration.number)) {
    log_.Iteration(record);
    window_ = {};
  } else {
    log_.Progress(record);
  }
}

}  // namespace finetune
