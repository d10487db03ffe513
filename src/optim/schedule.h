#ifndef FINETUNE_OPTIM_SCHEDULE_H_
#define FINETUNE_OPTIM_SCHEDULE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"

namespace finetune {

// The length of a run and its learning rate at each iteration: a base rate, times a decay
// (MultiStepLR, cosine, cosine with restarts, poly, one cycle, plateau or none, as
// torch.optim.lr_scheduler defines them), times a linear warm-up. The decay begins with the run or,
// with warmup.schedule_follows, after the warm-up.
// The object does not change, so a resumed run needs only its iteration and, with schedule.plateau,
// the number of reductions.
class LearningRateSchedule {
 public:
  // `config` has passed CheckSchedule(). `base_lr`: the rate before decay and warm-up, already
  // scaled to the total batch. `iterations_per_epoch` > 0.
  LearningRateSchedule(const ScheduleConfig& config, double base_lr, int64_t iterations_per_epoch);

  // Returns the learning rate of an iteration, counted from 0 at the start of the run.
  // `reductions`: PlateauState::reductions; only schedule.plateau takes it.
  double At(int64_t iteration, int64_t reductions = 0) const;

  // Returns the number of iterations of the whole run.
  int64_t total_iterations() const { return total_iterations_; }

 private:
  // Returns the share of the decay, 0 to 1, that is done before its iteration `now`. With `unit`
  // EPOCH, the share that is done before the epoch of `now`. Both count from the decay's begin.
  double Progress(int64_t now, ScheduleUnit unit) const;
  // Returns the rate without warm-up in the decay's iteration `now`, from 0. `reductions`: as for
  // At().
  double Decayed(int64_t now, int64_t reductions) const;
  // Returns the factor, at most 1, by which the warm-up multiplies the rate of a run's iteration.
  double WarmupFactor(int64_t iteration) const;

  ScheduleConfig config_;
  double base_lr_;
  int64_t iterations_per_epoch_;
  int64_t total_iterations_;
  int64_t warmup_iterations_;
  int64_t begin_;  // the run's iteration in which the decay begins
};

// Checks the settings of the schedule. `iterations_per_epoch`: 0 if it is not known; then fields
// that count epochs are not compared with those that count iterations. Errors and warnings go to
// `problems`, which must be those of the message schedule.
void CheckSchedule(const ScheduleConfig& config, int64_t iterations_per_epoch,
                   const Problems& problems);

// The learning rate to which a schedule falls, and the config field that sets it:
// "schedule.cosine.min_lr".
struct MinimumLearningRate {
  std::string field;
  double value;
};
// Returns nullopt for a schedule without such a field.
std::optional<MinimumLearningRate> FindMinimumLearningRate(const ScheduleConfig& config);

// Returns the base learning rate of a run: `lr`, or with auto_scale_lr `lr` * total_batch /
// base_batch_size (linear scaling rule, Goyal et al. 2017). `total_batch`: images in an iteration.
double ScaledLearningRate(const ScheduleConfig& schedule, double lr, int64_t total_batch);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_SCHEDULE_H_
