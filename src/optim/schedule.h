#ifndef FINETUNE_OPTIM_SCHEDULE_H_
#define FINETUNE_OPTIM_SCHEDULE_H_

#include <cstdint>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// How long a run is, and its learning rate at each iteration: a base rate, a decay (MultiStepLR,
// cosine or none, as torch.optim.lr_scheduler defines them) and a linear warm-up that multiplies
// it. A value: it keeps no state, so a resumed run needs nothing but its iteration.
class LearningRateSchedule {
 public:
  // `base_lr`: the rate before decay, already scaled to the total batch. `iterations_per_epoch` >
  // 0. Errors: InvalidArgument when the config gives no length.
  static absl::StatusOr<LearningRateSchedule> Create(const ScheduleConfig& config, double base_lr,
                                                     int64_t iterations_per_epoch);

  // The rate used in iteration 0, 1, ... counted from the start of the run.
  double At(int64_t iteration) const;

  // Iterations of the whole run.
  int64_t total_iterations() const { return total_iterations_; }

 private:
  LearningRateSchedule() = default;

  ScheduleConfig config_;
  double base_lr_ = 0;
  int64_t iterations_per_epoch_ = 1;
  int64_t total_iterations_ = 0;
  int64_t warmup_iterations_ = 0;
};

// The learning rate to start from: config's own, or with auto_scale_lr its share for `total_batch`
// pictures an iteration (linear scaling rule, Goyal et al. 2017).
double ScaledLearningRate(const ScheduleConfig& schedule, double lr, int64_t total_batch);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_SCHEDULE_H_
