#ifndef FINETUNE_CONFIG_TOTAL_BATCH_SIZE_H_
#define FINETUNE_CONFIG_TOTAL_BATCH_SIZE_H_

#include <cstdint>

#include "src/config/experiment.pb.h"

namespace finetune {

// Returns the number of images that all ranks together take in an iteration; 0 where the config
// does not set it.
inline int64_t TotalBatchSize(const SplitConfig& split, int world_size) {
  if (split.has_total_batch_size()) return split.total_batch_size();
  return static_cast<int64_t>(split.batch_size()) * world_size;
}

}  // namespace finetune

#endif  // FINETUNE_CONFIG_TOTAL_BATCH_SIZE_H_
