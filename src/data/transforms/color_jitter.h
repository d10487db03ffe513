#ifndef FINETUNE_DATA_TRANSFORMS_COLOR_JITTER_H_
#define FINETUNE_DATA_TRANSFORMS_COLOR_JITTER_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Changes brightness, contrast, saturation and hue as torchvision's ColorJitter. Its draws are the
// order, four of the numbers 0 (brightness) to 3 (hue), and then the four factors, as the bits of
// float64.
std::unique_ptr<Transform> MakeColorJitter(const ColorJitterConfig& config, const ImageShape& input,
                                           const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_COLOR_JITTER_H_
