#ifndef FINETUNE_DATA_TRANSFORMS_CROP_H_
#define FINETUNE_DATA_TRANSFORMS_CROP_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Both cut a square out of each image: MakeRandomCrop() at a random place of the padded image,
// MakeCenterCrop() from the centre. An image smaller than the square is put into its centre, and
// the rest is padding.
std::unique_ptr<Transform> MakeRandomCrop(const RandomCropConfig& config, const ImageShape& input,
                                          const Problems& problems);
std::unique_ptr<Transform> MakeCenterCrop(const CenterCropConfig& config, const ImageShape& input,
                                          const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_CROP_H_
