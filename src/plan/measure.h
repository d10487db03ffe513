#ifndef FINETUNE_PLAN_MEASURE_H_
#define FINETUNE_PLAN_MEASURE_H_

#include <cstdint>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/plan/profile.h"

namespace finetune {

// The shape of the images that a model takes.
struct PreparedShape {
  int channels = 3;
  int height = 0;
  int width = 0;
};

// The largest pass that is measured, in images. Larger passes are extrapolated linearly.
inline constexpr int64_t kMostMeasured = 32;

struct MeasureOptions {
  PreparedShape shape;
  // The sizes of the passes to measure, in images, in ascending order. Empty: only the model's
  // parameters are counted.
  std::vector<int64_t> batches;
  // The number of iterations that are measured for each pass size, after one warm-up iteration. The
  // median is taken.
  int iterations = 5;
  // The number of threads that the rank computes with.
  int threads = 1;
};

// Trains the config's model for a few iterations from random weights on random images in memory.
// Measures the time of each part of the step and the arrival of each gradient. Uses the CPU and
// this process alone. Errors: those of Classifier::Create() and CreateOptimizer(); InvalidArgument
// for images that the model does not take.
absl::StatusOr<Profile> MeasureStep(const ExperimentConfig& config, const MeasureOptions& options);

}  // namespace finetune

#endif  // FINETUNE_PLAN_MEASURE_H_
