#include "src/optim/plateau.h"

#include <algorithm>

#include "src/optim/validation_metric.h"

namespace finetune {

void Plateau::Check(const PlateauLrConfig& config, const Problems& problems) {
  if (problems.Positive("factor", config.factor())) problems.IsFraction("factor", config.factor());
  problems.AtLeast("patience", config.patience(), 0);
  problems.AtLeast("threshold", config.threshold(), 0);
  problems.AtLeast("cooldown", config.cooldown(), 0);
  problems.AtLeast("min_lr", config.min_lr(), 0);
}

Plateau::Plateau(const PlateauLrConfig& config)
    : config_(config), higher_is_better_(HigherIsBetter(config.metric())) {}

bool Plateau::IsBetter(double value, double best) const {
  const double sign = higher_is_better_ ? 1 : -1;
  const double bound = config_.threshold_mode() == PlateauLrConfig::RELATIVE
                           ? best * (1 + sign * config_.threshold())
                           : best + sign * config_.threshold();
  return higher_is_better_ ? value > bound : value < bound;
}

void Plateau::Observe(double value, PlateauState* state) const {
  if (!state->best.has_value() || IsBetter(value, *state->best)) {
    state->best = value;
    state->without = 0;
  } else {
    ++state->without;
  }
  if (state->cooldown > 0) {
    --state->cooldown;
    state->without = 0;
  }
  if (state->without <= config_.patience()) return;
  ++state->reductions;
  state->cooldown = config_.cooldown();
  state->without = 0;
}

double Plateau::RateAfter(int64_t reductions, double lr) const {
  constexpr double kLeastReduction = 1e-8;
  for (int64_t i = 0; i < reductions; ++i) {
    const double lower = std::max(lr * config_.factor(), config_.min_lr());
    if (lr - lower <= kLeastReduction) return lr;
    lr = lower;
  }
  return lr;
}

}  // namespace finetune
