#include "src/optim/validation_metric.h"

#include "absl/strings/ascii.h"

namespace finetune {

std::string NameOf(ValidationMetric metric) {
  return absl::AsciiStrToLower(ValidationMetric_Name(metric));
}

bool HigherIsBetter(ValidationMetric metric) { return metric != LOSS; }

ValidationMetric EarlyStoppingMetric(const ExperimentConfig& config) {
  const EarlyStoppingConfig& stopping = config.schedule().early_stopping();
  return stopping.has_metric() ? stopping.metric() : config.runtime().checkpoint().best_metric();
}

}  // namespace finetune
