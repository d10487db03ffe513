#ifndef FINETUNE_DATA_TRANSFORMS_CROP_H_
#define FINETUNE_DATA_TRANSFORMS_CROP_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// A square cut out of the image: at a random place of the padded image, or from its middle. A
// smaller image lies in the middle of the square.
std::unique_ptr<Transform> MakeRandomCrop(const RandomCropConfig& config, const ImageShape& input,
                                          const Problems& problems);
std::unique_ptr<Transform> MakeCenterCrop(const CenterCropConfig& config, const ImageShape& input,
                                          const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_CROP_H_
