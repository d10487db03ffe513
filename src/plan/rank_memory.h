#ifndef FINETUNE_PLAN_RANK_MEMORY_H_
#define FINETUNE_PLAN_RANK_MEMORY_H_

#include <cstdint>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/plan/measure.h"

namespace finetune {

struct RankMemory {
  int64_t pass = 0;  // images of the largest pass of a rank
  double bytes = 0;  // the process's peak memory while it trains
};

// Predicts the memory of one of `ranks` ranks that train on the CPU: of the rank with the most
// images. Measures iterations with two pass sizes in this process. For a pass of more than
// kMostMeasured images it extrapolates the line through the two. Errors: those of MeasureStep().
absl::StatusOr<RankMemory> PredictRankMemory(const ExperimentConfig& config,
                                             const PreparedShape& shape, int ranks);

}  // namespace finetune

#endif  // FINETUNE_PLAN_RANK_MEMORY_H_
