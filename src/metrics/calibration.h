#ifndef FINETUNE_METRICS_CALIBRATION_H_
#define FINETUNE_METRICS_CALIBRATION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/metrics/prediction.h"

namespace finetune {

// The images whose confidence lies in one interval.
struct CalibrationBin {
  int64_t images = 0;
  double confidence = 0;  // mean confidence; 0 where there are no images
  double accuracy = 0;    // 0..1; 0 where there are no images
};

// The difference between a model's confidence and its accuracy.
struct Calibration {
  // The expected calibration error, 0..1: the mean over all images of |accuracy - confidence| of
  // the image's bin (Naeini et al. 2015; Guo et al. 2017, "On Calibration of Modern Neural
  // Networks").
  double error = 0;
  // Bin i of n holds the confidences in (i / n, (i + 1) / n], as in Guo et al.; bin 0 also holds
  // confidence 0.
  std::vector<CalibrationBin> bins;
};

// The number of bins that Guo et al. use.
inline constexpr int kCalibrationBins = 15;

// Returns the calibration with `bins` bins, 1 or more.
Calibration Calibrate(absl::Span<const Prediction> predictions, int bins = kCalibrationBins);

}  // namespace finetune

#endif  // FINETUNE_METRICS_CALIBRATION_H_
