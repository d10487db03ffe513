#include "src/optim/early_stopping.h"

namespace finetune {

void EarlyStopping::Check(const EarlyStoppingConfig& config, const Problems& problems) {
  if (!config.has_patience()) {
    problems.Error("patience",
                   "is not set; expected the number of validations without improvement that end "
                   "the run");
  } else {
    problems.AtLeast("patience", config.patience(), 1);
  }
  problems.AtLeast("min_delta", config.min_delta(), 0);
}

void EarlyStopping::Observe(double value, int64_t iteration, EarlyStoppingState* state) const {
  const bool better =
      !state->best.has_value() || (higher_is_better_ ? value > *state->best + config_.min_delta()
                                                     : value < *state->best - config_.min_delta());
  if (better) {
    *state = {value, iteration, 0};
  } else {
    ++state->without;
  }
}

}  // namespace finetune
