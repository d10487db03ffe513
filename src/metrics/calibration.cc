#include "src/metrics/calibration.h"

#include <algorithm>
#include <cmath>

namespace finetune {

Calibration Calibrate(absl::Span<const Prediction> predictions, int bins) {
  Calibration result;
  result.bins.resize(static_cast<size_t>(bins));
  for (const Prediction& prediction : predictions) {
    const double confidence = prediction.confidence;
    const int bin = std::clamp(static_cast<int>(std::ceil(confidence * bins)) - 1, 0, bins - 1);
    CalibrationBin& one = result.bins[bin];
    ++one.images;
    one.confidence += confidence;
    one.accuracy += prediction.correct() ? 1 : 0;
  }
  for (CalibrationBin& one : result.bins) {
    if (one.images == 0) continue;
    const auto images = static_cast<double>(one.images);
    result.error += std::abs(one.accuracy - one.confidence);
    one.confidence /= images;
    one.accuracy /= images;
  }
  if (!predictions.empty()) result.error /= static_cast<double>(predictions.size());
  return result;
}

}  // namespace finetune
