#include "src/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace finetune {

absl::StatusOr<LearningRateSchedule> LearningRateSchedule::Create(const ScheduleConfig& config,
                                                                  double base_lr,
                                                                  int64_t iterations_per_epoch) {
  LearningRateSchedule schedule;
  schedule.config_ = config;
  schedule.base_lr_ = base_lr;
  schedule.iterations_per_epoch_ = iterations_per_epoch;
  switch (config.length_case()) {
    case ScheduleConfig::kMaxEpochs:
      schedule.total_iterations_ = config.max_epochs() * iterations_per_epoch;
      break;
    case ScheduleConfig::kMaxIterations:
      schedule.total_iterations_ = config.max_iterations();
      break;
    case ScheduleConfig::LENGTH_NOT_SET:
      return absl::InvalidArgumentError(
          "schedule: set max_epochs or max_iterations; the run has no length");
  }
  if (config.has_warmup()) {
    const WarmupConfig& warmup = config.warmup();
    schedule.warmup_iterations_ =
        warmup.has_epochs() ? warmup.epochs() * iterations_per_epoch : warmup.iterations();
  }
  return schedule;
}

double LearningRateSchedule::At(int64_t iteration) const {
  const int64_t epoch = iteration / iterations_per_epoch_;
  double lr = base_lr_;
  switch (config_.kind_case()) {
    case ScheduleConfig::kMultiStep: {
      const MultiStepLrConfig& multi_step = config_.multi_step();
      const int64_t now = multi_step.unit() == EPOCH ? epoch : iteration;
      const auto passed =
          std::count_if(multi_step.milestones().begin(), multi_step.milestones().end(),
                        [now](int64_t milestone) { return milestone <= now; });
      lr *= std::pow(multi_step.gamma(), static_cast<double>(passed));
      break;
    }
    case ScheduleConfig::kCosine: {
      const CosineLrConfig& cosine = config_.cosine();
      double progress;
      if (cosine.unit() == EPOCH) {
        const int64_t epochs =
            (total_iterations_ + iterations_per_epoch_ - 1) / iterations_per_epoch_;
        progress = static_cast<double>(epoch) / static_cast<double>(epochs);
      } else {
        progress = static_cast<double>(iteration) / static_cast<double>(total_iterations_);
      }
      lr = cosine.min_lr() +
           (base_lr_ - cosine.min_lr()) * (1 + std::cos(std::numbers::pi * progress)) / 2;
      break;
    }
    case ScheduleConfig::kConstant:
    case ScheduleConfig::KIND_NOT_SET:
      break;
  }
  if (iteration < warmup_iterations_) {
    const double start = config_.warmup().start_factor();
    lr *= start +
          (1 - start) * static_cast<double>(iteration) / static_cast<double>(warmup_iterations_);
  }
  return lr;
}

double ScaledLearningRate(const ScheduleConfig& schedule, double lr, int64_t total_batch) {
  if (!schedule.auto_scale_lr() || !schedule.has_base_batch_size()) return lr;
  return lr * static_cast<double>(total_batch) / schedule.base_batch_size();
}

}  // namespace finetune
