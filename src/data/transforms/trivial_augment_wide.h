#ifndef FINETUNE_DATA_TRANSFORMS_TRIVIAL_AUGMENT_WIDE_H_
#define FINETUNE_DATA_TRANSFORMS_TRIVIAL_AUGMENT_WIDE_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// One random operation of a random strength. Its draws are those of an AugmentOperation.
std::unique_ptr<Transform> MakeTrivialAugmentWide(const TrivialAugmentWideConfig& config,
                                                  const ImageShape& input,
                                                  const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_TRIVIAL_AUGMENT_WIDE_H_
