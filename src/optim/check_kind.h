#ifndef FINETUNE_OPTIM_CHECK_KIND_H_
#define FINETUNE_OPTIM_CHECK_KIND_H_

#include "src/config/problems.h"

namespace finetune {

// Checks the learning rate of an optimizer's message.
template <typename KindConfig>
void CheckRate(const KindConfig& config, const Problems& problems) {
  if (!config.has_lr()) problems.Error("lr", "is not set");
  problems.AtLeast("lr", config.lr(), 0);
}

// Checks the fields that the optimizers with momentum share: SGD and LARS.
template <typename KindConfig>
void CheckMomentum(const KindConfig& config, const Problems& problems) {
  CheckRate(config, problems);
  problems.IsFraction("momentum", config.momentum());
  problems.AtLeast("weight_decay", config.weight_decay(), 0);
  if (config.nesterov() && config.momentum() == 0) {
    problems.Error("nesterov", "needs momentum, which is 0");
  }
}

// Checks the epsilon of an optimizer that divides by the root of an average of squares.
template <typename KindConfig>
void CheckEpsilon(const KindConfig& config, const Problems& problems) {
  // With epsilon 0, a gradient that is always 0 would divide 0 by 0. 1e-37 is the smallest power of
  // ten that float32 holds with full precision.
  constexpr double kLeastEpsilon = 1e-37;
  problems.AtLeast("epsilon", config.epsilon(), kLeastEpsilon);
}

// Checks the fields of the optimizers that average the gradients and their squares: AdamW and LAMB.
template <typename KindConfig>
void CheckAverages(const KindConfig& config, const Problems& problems) {
  CheckRate(config, problems);
  problems.IsFraction("beta1", config.beta1());
  problems.IsFraction("beta2", config.beta2());
  CheckEpsilon(config, problems);
  problems.AtLeast("weight_decay", config.weight_decay(), 0);
}

}  // namespace finetune

#endif  // FINETUNE_OPTIM_CHECK_KIND_H_
