#ifndef FINETUNE_DATA_TRANSFORMS_AUTO_AUGMENT_H_
#define FINETUNE_DATA_TRANSFORMS_AUTO_AUGMENT_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Applies a random pair of operations of the config's policy. It has kAugmentDraws draws for each
// of the two: see DrawAugment(). An operation that is left out is kIdentity.
std::unique_ptr<Transform> MakeAutoAugment(const AutoAugmentConfig& config, const ImageShape& input,
                                           const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_AUTO_AUGMENT_H_
