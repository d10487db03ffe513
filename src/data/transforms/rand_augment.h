#ifndef FINETUNE_DATA_TRANSFORMS_RAND_AUGMENT_H_
#define FINETUNE_DATA_TRANSFORMS_RAND_AUGMENT_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Random operations of one strength, one after the other. Its draws are those of each
// AugmentOperation.
std::unique_ptr<Transform> MakeRandAugment(const RandAugmentConfig& config, const ImageShape& input,
                                           const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RAND_AUGMENT_H_
