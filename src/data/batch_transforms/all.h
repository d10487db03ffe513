#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_ALL_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_ALL_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/batch_transforms/batch_transform.h"

namespace finetune {

// Returns the batch transform that a config describes. If a setting is wrong, adds an error to
// `problems` and returns null.
std::unique_ptr<BatchTransform> MakeBatchTransform(const BatchTransformConfig& config,
                                                   const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_ALL_H_
