#include "src/plan/rank_memory.h"

#include <algorithm>
#include <thread>
#include <vector>

#include "src/plan/plan.h"
#include "src/plan/profile.h"

namespace finetune {

absl::StatusOr<RankMemory> PredictRankMemory(const ExperimentConfig& config,
                                             const PreparedShape& shape, int ranks) {
  RankMemory memory;
  memory.pass = PassBatches(config.data().train(), {ranks}).back();
  MeasureOptions options;
  options.shape = shape;
  options.iterations = 1;
  options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const int64_t largest = std::min(memory.pass, kMostMeasured);
  // Measures half of the largest pass first, because a process's peak memory never falls. A pass of
  // one image is not measured, because some networks cannot train on it.
  if (largest >= 4) options.batches.push_back(largest / 2);
  options.batches.push_back(largest);
  FT_ASSIGN_OR_RETURN(const Profile profile, MeasureStep(config, options));
  memory.bytes = PassAt(profile, memory.pass).memory_bytes;
  return memory;
}

}  // namespace finetune
