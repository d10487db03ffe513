#ifndef FINETUNE_PLAN_MEASURE_H_
#define FINETUNE_PLAN_MEASURE_H_

#include <cstdint>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/plan/profile.h"

namespace finetune {

// The shape of the images that a model is given.
struct PictureShape {
  int channels = 3;
  int height = 0;
  int width = 0;
};

// The most pictures in a pass that is worth measuring; larger ones are on its line.
inline constexpr int64_t kMostMeasured = 32;

struct MeasureOptions {
  PictureShape shape;
  // The sizes of the passes to measure, in ascending order. None: only the model's parameters are
  // counted.
  std::vector<int64_t> batches;
  // The iterations measured of each pass size, after one more that warms up. Their median counts.
  int iterations = 5;
  // The threads that the rank computes with.
  int threads = 1;
};

// Trains the config's model from random weights on images of noise in memory. Measures each part of
// the step and the arrival of each gradient. Uses the CPU and this process alone. Errors: those of
// Classifier::Create and CreateOptimizer; InvalidArgument for images that the model does not take.
absl::StatusOr<Profile> MeasureStep(const ExperimentConfig& config, const MeasureOptions& options);

}  // namespace finetune

#endif  // FINETUNE_PLAN_MEASURE_H_
