#ifndef FINETUNE_DATA_TRANSFORMS_RANDOM_ERASING_H_
#define FINETUNE_DATA_TRANSFORMS_RANDOM_ERASING_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Paints over a random rectangle, as torchvision's RandomErasing draws it. Its draws are the
// rectangle's top, left, height and width (height and width are 0 for no rectangle), and a seed of
// the noise.
std::unique_ptr<Transform> MakeRandomErasing(const RandomErasingConfig& config,
                                             const ImageShape& input, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RANDOM_ERASING_H_
