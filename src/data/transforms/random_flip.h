#ifndef FINETUNE_DATA_TRANSFORMS_RANDOM_FLIP_H_
#define FINETUNE_DATA_TRANSFORMS_RANDOM_FLIP_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Mirrors each image left to right with the probability that the config gives.
std::unique_ptr<Transform> MakeRandomFlip(const RandomFlipConfig& config, const ImageShape& input,
                                          const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RANDOM_FLIP_H_
