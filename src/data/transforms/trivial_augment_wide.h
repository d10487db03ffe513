#ifndef FINETUNE_DATA_TRANSFORMS_TRIVIAL_AUGMENT_WIDE_H_
#define FINETUNE_DATA_TRANSFORMS_TRIVIAL_AUGMENT_WIDE_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Applies one random operation with a random magnitude (TrivialAugment, Mueller and Hutter 2021,
// with its wide ranges). It has kAugmentDraws draws: see DrawAugment().
std::unique_ptr<Transform> MakeTrivialAugmentWide(const TrivialAugmentWideConfig& config,
                                                  const ImageShape& input,
                                                  const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_TRIVIAL_AUGMENT_WIDE_H_
