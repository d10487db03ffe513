#ifndef FINETUNE_DATA_TRANSFORMS_RANDOM_RESIZED_CROP_H_
#define FINETUNE_DATA_TRANSFORMS_RANDOM_RESIZED_CROP_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Cuts a random rectangle out of each image and resizes it to the size that the config gives. The
// rectangle is drawn as in torchvision's RandomResizedCrop. Its 4 draws: the rectangle's top, left,
// height and width in pixels.
std::unique_ptr<Transform> MakeRandomResizedCrop(const RandomResizedCropConfig& config,
                                                 const ImageShape& input, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RANDOM_RESIZED_CROP_H_
