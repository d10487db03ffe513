#ifndef FINETUNE_OPTIM_SCHEDULE_H_
#define FINETUNE_OPTIM_SCHEDULE_H_

#include <cstdint>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"

namespace finetune {

// How long a run is, and its learning rate at each iteration: a base rate, a decay (MultiStepLR,
// cosine or none, as torch.optim.lr_scheduler defines them) and a linear warm-up that multiplies
// it. A value: it keeps no state, so a resumed run needs nothing but its iteration.
class LearningRateSchedule {
 public:
  // `config` has passed CheckSchedule(). `base_lr`: the rate before decay, already scaled to the
  // total batch. `iterations_per_epoch` > 0.
  LearningRateSchedule(const ScheduleConfig& config, double base_lr, int64_t iterations_per_epoch);

  // The rate used in iteration 0, 1, ... counted from the start of the run.
  double At(int64_t iteration) const;

  // Iterations of the whole run.
  int64_t total_iterations() const { return total_iterations_; }

 private:
  ScheduleConfig config_;
  double base_lr_;
  int64_t iterations_per_epoch_;
  int64_t total_iterations_;
  int64_t warmup_iterations_;
};

// Checks the settings of the schedule. `problems`: those of its message.
void CheckSchedule(const ScheduleConfig& config, const Problems& problems);

// Returns the learning rate to start from: `lr`, or with auto_scale_lr its share for `total_batch`
// images an iteration (linear scaling rule, Goyal et al. 2017).
double ScaledLearningRate(const ScheduleConfig& schedule, double lr, int64_t total_batch);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_SCHEDULE_H_
