#ifndef FINETUNE_TRAIN_CALENDAR_H_
#define FINETUNE_TRAIN_CALENDAR_H_

#include <cstdint>
#include <string>

#include "src/config/experiment.pb.h"

namespace finetune {

// Decides when a run logs, validates, saves and ends: a pure function of its config. `iteration` is
// the number of iterations done, from 1. Each question is about the moment after that iteration.
class Calendar {
 public:
  // `last_iteration`: the number of iterations of the whole run. `has_validation`: whether the run
  // has validation data.
  Calendar(const ExperimentConfig& config, int64_t iterations_per_epoch, int64_t last_iteration,
           bool has_validation);

  int64_t iterations_per_epoch() const { return per_epoch_; }
  int64_t last_iteration() const { return last_; }

  // Returns the epoch that the iteration is in, from 1.
  int64_t Epoch(int64_t iteration) const { return (iteration - 1) / per_epoch_ + 1; }
  bool EpochEnds(int64_t iteration) const { return iteration % per_epoch_ == 0; }
  bool RunEnds(int64_t iteration) const { return iteration == last_; }

  bool LogIsDue(int64_t iteration) const;
  bool ValidationIsDue(int64_t iteration) const;
  bool CheckpointIsDue(int64_t iteration) const;

  // Returns the number of validations that remain, the one due after this iteration included.
  int64_t ValidationsLeft(int64_t iteration) const;

  // Returns "epoch_3.pth" at the end of an epoch, else "iter_1200.pth".
  std::string CheckpointName(int64_t iteration) const;

 private:
  // Returns the iterations from one validation to the next. 0: no validation is due by interval.
  int64_t ValidationInterval() const;

  const int64_t per_epoch_;
  const int64_t last_;
  const bool has_validation_;
  const ScheduleConfig schedule_;
  const CheckpointConfig checkpoint_;
  const int64_t log_interval_;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_CALENDAR_H_
