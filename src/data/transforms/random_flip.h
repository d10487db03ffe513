#ifndef FINETUNE_DATA_TRANSFORMS_RANDOM_FLIP_H_
#define FINETUNE_DATA_TRANSFORMS_RANDOM_FLIP_H_

#include <memory>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Mirrors the image left to right with the chance that the config says.
absl::StatusOr<std::unique_ptr<Transform>> MakeRandomFlip(const RandomFlipConfig& config,
                                                          const ImageShape& input);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RANDOM_FLIP_H_
