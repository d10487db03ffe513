#ifndef FINETUNE_DATA_TRANSFORMS_COLOR_JITTER_H_
#define FINETUNE_DATA_TRANSFORMS_COLOR_JITTER_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Changes brightness, contrast, saturation and hue as torchvision's ColorJitter does. Its 8 draws:
// four are the order of the operations 0 (brightness) to 3 (hue), and four are the factors of
// operations 0 to 3, as the bits of a float64.
std::unique_ptr<Transform> MakeColorJitter(const ColorJitterConfig& config, const ImageShape& input,
                                           const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_COLOR_JITTER_H_
