#ifndef FINETUNE_DATA_TRANSFORMS_RANDOM_ERASING_H_
#define FINETUNE_DATA_TRANSFORMS_RANDOM_ERASING_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Paints over a random rectangle of some images, which is drawn as in torchvision's RandomErasing.
// Its 5 draws: the rectangle's top, left, height and width (height and width are 0 for no
// rectangle), and the seed of the noise.
std::unique_ptr<Transform> MakeRandomErasing(const RandomErasingConfig& config,
                                             const ImageShape& input, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RANDOM_ERASING_H_
