#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_BETA_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_BETA_H_

#include "src/base/philox.h"

namespace finetune {

// A number from Beta(alpha, alpha), in [0, 1]. `alpha`: more than 0, however small or large.
double DrawSymmetricBeta(double alpha, RandomStream* random);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_BETA_H_
