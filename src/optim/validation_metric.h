#ifndef FINETUNE_OPTIM_VALIDATION_METRIC_H_
#define FINETUNE_OPTIM_VALIDATION_METRIC_H_

#include <string>

#include "src/config/experiment.pb.h"

namespace finetune {

// Returns the metric's name in logs, records and checkpoints: "top1", "loss", "macro_f1".
std::string NameOf(ValidationMetric metric);

// Returns false for the loss, true for every other metric.
bool HigherIsBetter(ValidationMetric metric);

// Returns the metric that decides about schedule.early_stopping: its own, or that of
// runtime.checkpoint.
ValidationMetric EarlyStoppingMetric(const ExperimentConfig& config);

}  // namespace finetune

#endif  // FINETUNE_OPTIM_VALIDATION_METRIC_H_
