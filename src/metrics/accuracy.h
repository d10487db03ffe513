#ifndef FINETUNE_METRICS_ACCURACY_H_
#define FINETUNE_METRICS_ACCURACY_H_

#include "absl/types/span.h"
#include "src/metrics/prediction.h"

namespace finetune {

// Both functions return 0 for an empty list.

// Returns the share of the images, 0..1, whose label is among the k classes with the largest
// scores.
double TopKAccuracy(absl::Span<const Prediction> predictions, int k);

// Returns the mean loss, summed in float64 in the order of the list.
double MeanLoss(absl::Span<const Prediction> predictions);

}  // namespace finetune

#endif  // FINETUNE_METRICS_ACCURACY_H_
