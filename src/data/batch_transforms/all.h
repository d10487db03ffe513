#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_ALL_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_ALL_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/batch_transforms/batch_transform.h"

namespace finetune {

// Returns the batch transform of a config. Null, and an error in `problems`, where its settings are
// wrong.
std::unique_ptr<BatchTransform> MakeBatchTransform(const BatchTransformConfig& config,
                                                   const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_ALL_H_
