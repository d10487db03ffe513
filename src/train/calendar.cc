#include "src/train/calendar.h"

#include "absl/strings/str_cat.h"

namespace finetune {

Calendar::Calendar(const ExperimentConfig& config, int64_t iterations_per_epoch,
                   int64_t last_iteration, bool has_validation)
    : per_epoch_(iterations_per_epoch),
      last_(last_iteration),
      has_validation_(has_validation),
      schedule_(config.schedule()),
      checkpoint_(config.runtime().checkpoint()),
      log_interval_(config.runtime().log_interval()) {}

bool Calendar::LogIsDue(int64_t iteration) const {
  return EpochEnds(iteration) || RunEnds(iteration) || iteration % log_interval_ == 0;
}

int64_t Calendar::ValidationInterval() const {
  return schedule_.has_val_interval_iterations() ? schedule_.val_interval_iterations()
                                                 : schedule_.val_interval_epochs() * per_epoch_;
}

bool Calendar::ValidationIsDue(int64_t iteration) const {
  if (!has_validation_) return false;
  if (RunEnds(iteration) && schedule_.val_interval_epochs() > 0) return true;
  const int64_t interval = ValidationInterval();
  return interval > 0 && iteration % interval == 0;
}

int64_t Calendar::ValidationsLeft(int64_t iteration) const {
  const int64_t interval = ValidationInterval();
  if (!has_validation_ || interval == 0) return 0;
  const bool extra_at_end = schedule_.val_interval_epochs() > 0 && last_ % interval != 0;
  return last_ / interval - iteration / interval + (extra_at_end && !RunEnds(iteration) ? 1 : 0) +
         (ValidationIsDue(iteration) ? 1 : 0);
}

bool Calendar::CheckpointIsDue(int64_t iteration) const {
  const int64_t epochs = checkpoint_.interval_epochs();
  const int64_t iterations = checkpoint_.interval_iterations();
  return RunEnds(iteration) ||
         (EpochEnds(iteration) && epochs > 0 && iteration / per_epoch_ % epochs == 0) ||
         (iterations > 0 && iteration % iterations == 0);
}

std::string Calendar::CheckpointName(int64_t iteration) const {
  return EpochEnds(iteration) ? absl::StrCat("epoch_", iteration / per_epoch_, ".pth")
                              : absl::StrCat("iter_", iteration, ".pth");
}

}  // namespace finetune
