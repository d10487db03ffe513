#ifndef FINETUNE_METRICS_ACCURACY_H_
#define FINETUNE_METRICS_ACCURACY_H_

#include "absl/types/span.h"
#include "src/metrics/prediction.h"

namespace finetune {

// All return 0 for an empty list.

// The share of the images whose label is among the first k classes, 0..1.
double TopKAccuracy(absl::Span<const Prediction> predictions, int k);

// The mean loss, summed in float64 in the order of the list.
double MeanLoss(absl::Span<const Prediction> predictions);

}  // namespace finetune

#endif  // FINETUNE_METRICS_ACCURACY_H_
