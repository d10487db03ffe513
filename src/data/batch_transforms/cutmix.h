#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_CUTMIX_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_CUTMIX_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/batch_transforms/batch_transform.h"

namespace finetune {

// Makes the transform of Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong
// Classifiers with Localizable Features". Partners exchange the pixels in a rectangle. One
// rectangle, drawn as in torchvision's CutMix, is used for the whole batch. Its 5 draws: the part
// of an image's area that is outside the rectangle (0 to 1), then the rectangle's top, left, bottom
// and right in pixels; bottom and right are one past the last row and column.
std::unique_ptr<BatchTransform> MakeCutMix(const CutMixConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_CUTMIX_H_
