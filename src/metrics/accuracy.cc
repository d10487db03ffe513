#include "src/metrics/accuracy.h"

#include <algorithm>

namespace finetune {

double TopKAccuracy(absl::Span<const Prediction> predictions, int k) {
  if (predictions.empty()) return 0;
  const auto right = std::count_if(predictions.begin(), predictions.end(),
                                   [k](const Prediction& one) { return one.rank < k; });
  return static_cast<double>(right) / static_cast<double>(predictions.size());
}

double MeanLoss(absl::Span<const Prediction> predictions) {
  if (predictions.empty()) return 0;
  double sum = 0;
  for (const Prediction& one : predictions) sum += one.loss;
  return sum / static_cast<double>(predictions.size());
}

}  // namespace finetune
