#ifndef FINETUNE_PLAN_MEASURE_H_
#define FINETUNE_PLAN_MEASURE_H_

#include <cstdint>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/plan/profile.h"

namespace finetune {

// The pictures that a model is given.
struct PictureShape {
  int channels = 3;
  int height = 0;
  int width = 0;
};

// The most pictures in a pass that is worth measuring; larger ones are on its line.
inline constexpr int64_t kMostMeasured = 32;

struct MeasureOptions {
  PictureShape shape;
  // Of each pass: in ascending order. None: only the model's parameters are counted.
  std::vector<int64_t> batches;
  // Measured of each; the median counts. One more goes before them.
  int iterations = 5;
  // That the rank computes with.
  int threads = 1;
};

// Trains the config's model, from random weights on pictures of noise in memory, and measures each
// part of the step and when each gradient comes. On the CPU, on this thread's process alone.
// Errors: those of Classifier::Create and CreateOptimizer; InvalidArgument for pictures the model
// does not take.
absl::StatusOr<Profile> MeasureStep(const ExperimentConfig& config, const MeasureOptions& options);

}  // namespace finetune

#endif  // FINETUNE_PLAN_MEASURE_H_
