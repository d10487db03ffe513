#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_CUTMIX_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_CUTMIX_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/batch_transforms/batch_transform.h"

namespace finetune {

// Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
// Features": partners exchange a rectangle, which holds for a whole batch, as torchvision's CutMix
// draws it. Its draws are the share of the image that stays, and the rectangle's top, left, bottom
// and right.
std::unique_ptr<BatchTransform> MakeCutMix(const CutMixConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_CUTMIX_H_
