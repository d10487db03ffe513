#ifndef FINETUNE_DATA_TRANSFORMS_RAND_AUGMENT_H_
#define FINETUNE_DATA_TRANSFORMS_RAND_AUGMENT_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Applies several random operations one after the other (RandAugment, Cubuk et al. 2020), all with
// the magnitude that the config gives. It has kAugmentDraws draws for each operation: see
// DrawAugment().
std::unique_ptr<Transform> MakeRandAugment(const RandAugmentConfig& config, const ImageShape& input,
                                           const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RAND_AUGMENT_H_
