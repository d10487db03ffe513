#ifndef FINETUNE_PLAN_RANK_MEMORY_H_
#define FINETUNE_PLAN_RANK_MEMORY_H_

#include <cstdint>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/plan/measure.h"

namespace finetune {

struct RankMemory {
  int64_t pass = 0;  // images of the largest pass of a rank
  double bytes = 0;  // the process's peak while it trains
};

// Predicts the memory of the rank with the most images, of `ranks` ranks that train on the CPU. Two
// iterations are measured here, on one process; a pass of more than kMostMeasured images is on
// their line. Errors: those of MeasureStep().
absl::StatusOr<RankMemory> PredictRankMemory(const ExperimentConfig& config,
                                             const PictureShape& shape, int ranks);

}  // namespace finetune

#endif  // FINETUNE_PLAN_RANK_MEMORY_H_
