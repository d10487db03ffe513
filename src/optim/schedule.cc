#include "src/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/base/ceil_divide.h"

namespace finetune {
namespace {

void CheckMilestones(const ScheduleConfig& schedule, const Problems& problems) {
  const MultiStepLrConfig& multi_step = schedule.multi_step();
  const bool by_epoch = multi_step.unit() == EPOCH;
  // The run's length in the unit of the milestones; 0 where it is given in the other unit.
  const int64_t end = by_epoch ? schedule.max_epochs() : schedule.max_iterations();
  int64_t last = 0;
  for (int i = 0; i < multi_step.milestones_size(); ++i) {
    const std::string field = absl::StrCat("milestones[", i, "]");
    const int64_t milestone = multi_step.milestones(i);
    if (milestone <= last) {
      problems.Error(field,
                     absl::StrCat("is ", milestone, " after ", last, "; expected rising numbers"));
    }
    if (end > 0 && milestone >= end) {
      problems.Error(field, absl::StrCat("is ", milestone, "; the run ends after ",
                                         by_epoch ? "epoch " : "iteration ", end,
                                         " and would never reach it"));
    }
    last = milestone;
  }
}

void CheckWarmup(const ScheduleConfig& schedule, const Problems& problems) {
  const WarmupConfig& warmup = schedule.warmup();
  problems.InRange("start_factor", warmup.start_factor(), 0, 1);
  problems.AtLeast("iterations", static_cast<double>(warmup.iterations()), 0);
  problems.AtLeast("epochs", warmup.epochs(), 0);
  if (warmup.has_epochs() && schedule.max_epochs() > 0 &&
      warmup.epochs() >= schedule.max_epochs()) {
    problems.Error("epochs", absl::StrCat("is ", warmup.epochs(), "; the run ends after epoch ",
                                          schedule.max_epochs(), ", before it is warm"));
  }
}

}  // namespace

void CheckSchedule(const ScheduleConfig& config, const Problems& problems) {
  switch (config.length_case()) {
    case ScheduleConfig::kMaxEpochs:
      problems.AtLeast("max_epochs", config.max_epochs(), 1);
      break;
    case ScheduleConfig::kMaxIterations:
      problems.AtLeast("max_iterations", static_cast<double>(config.max_iterations()), 1);
      break;
    case ScheduleConfig::LENGTH_NOT_SET:
      problems.Error("max_epochs", "is not set, nor is max_iterations; the run has no length");
      break;
  }
  switch (config.kind_case()) {
    case ScheduleConfig::kMultiStep:
      CheckMilestones(config, problems.Within("multi_step"));
      problems.Positive("multi_step.gamma", config.multi_step().gamma());
      break;
    case ScheduleConfig::kCosine:
      problems.AtLeast("cosine.min_lr", config.cosine().min_lr(), 0);
      break;
    case ScheduleConfig::kConstant:
    case ScheduleConfig::KIND_NOT_SET:
      break;
  }
  if (config.has_warmup()) CheckWarmup(config, problems.Within("warmup"));
  problems.AtLeast("val_interval_epochs", config.val_interval_epochs(), 0);
  if (config.has_val_interval_iterations()) {
    problems.AtLeast("val_interval_iterations",
                     static_cast<double>(config.val_interval_iterations()), 1);
  }
  if (config.auto_scale_lr() && !config.has_base_batch_size()) {
    problems.Error("auto_scale_lr", "needs schedule.base_batch_size, which is not set");
  }
  if (config.has_base_batch_size()) {
    problems.AtLeast("base_batch_size", config.base_batch_size(), 1);
  }
}

LearningRateSchedule::LearningRateSchedule(const ScheduleConfig& config, double base_lr,
                                           int64_t iterations_per_epoch)
    : config_(config),
      base_lr_(base_lr),
      iterations_per_epoch_(iterations_per_epoch),
      total_iterations_(config.has_max_epochs() ? config.max_epochs() * iterations_per_epoch
                                                : config.max_iterations()),
      warmup_iterations_(config.warmup().has_epochs()
                             ? config.warmup().epochs() * iterations_per_epoch
                             : config.warmup().iterations()) {}

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
        const int64_t epochs = CeilDivide(total_iterations_, iterations_per_epoch_);
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
