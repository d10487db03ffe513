#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_MIXUP_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_MIXUP_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/batch_transforms/batch_transform.h"

namespace finetune {

// Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization": lambda * own + (1 - lambda) *
// partner, for images and labels. As in the authors' code, one lambda from Beta(alpha, alpha) holds
// for a whole batch. Its draw is lambda.
std::unique_ptr<BatchTransform> MakeMixup(const MixupConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_MIXUP_H_
