#ifndef FINETUNE_DATA_TRANSFORMS_COLOR_JITTER_H_
#define FINETUNE_DATA_TRANSFORMS_COLOR_JITTER_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Changes brightness, contrast, saturation and hue as torchvision's ColorJitter does. Its 8 draws:
// first the numbers of the four operations in the order in which they are applied (0 brightness, 1
// contrast, 2 saturation, 3 hue), then the factors of operations 0 to 3 (for hue the turn), each as
// the bits of a float64. See color.h.
std::unique_ptr<Transform> MakeColorJitter(const ColorJitterConfig& config, const ImageShape& input,
                                           const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_COLOR_JITTER_H_
