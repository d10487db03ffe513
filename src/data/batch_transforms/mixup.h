#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_MIXUP_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_MIXUP_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/batch_transforms/batch_transform.h"

namespace finetune {

// Makes the transform of Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization". It
// replaces each image by lambda * image + (1 - lambda) * partner, and the labels likewise. As in
// the authors' code, one lambda from Beta(alpha, alpha) is used for the whole batch. Its only draw
// is lambda.
std::unique_ptr<BatchTransform> MakeMixup(const MixupConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_MIXUP_H_
