#ifndef FINETUNE_DATA_TRANSFORMS_AUTO_AUGMENT_H_
#define FINETUNE_DATA_TRANSFORMS_AUTO_AUGMENT_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Makes the transform that applies a random pair of operations of the config's policy; see
// AutoAugmentConfig. It has kAugmentDraws draws for each operation of the pair, as WriteAugment()
// writes them. An operation that is left out is kIdentity. Returns null and adds an error to
// `problems` if `fill` is not in 0 to 255.
std::unique_ptr<Transform> MakeAutoAugment(const AutoAugmentConfig& config, const ImageShape& input,
                                           const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_AUTO_AUGMENT_H_
