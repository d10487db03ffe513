#ifndef FINETUNE_DATA_TRANSFORMS_CROP_H_
#define FINETUNE_DATA_TRANSFORMS_CROP_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Cuts a square out of the image: at a random place of the padded image (random crop), or from the
// centre (centre crop). An image smaller than the square is centred in it.
std::unique_ptr<Transform> MakeRandomCrop(const RandomCropConfig& config, const ImageShape& input,
                                          const Problems& problems);
std::unique_ptr<Transform> MakeCenterCrop(const CenterCropConfig& config, const ImageShape& input,
                                          const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_CROP_H_
