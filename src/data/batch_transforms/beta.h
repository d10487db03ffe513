#ifndef FINETUNE_DATA_BATCH_TRANSFORMS_BETA_H_
#define FINETUNE_DATA_BATCH_TRANSFORMS_BETA_H_

#include "src/base/philox.h"

namespace finetune {

// Returns a random number from Beta(alpha, alpha), in [0, 1]. `alpha` may have any value above 0.
double DrawSymmetricBeta(double alpha, RandomStream* random);

}  // namespace finetune

#endif  // FINETUNE_DATA_BATCH_TRANSFORMS_BETA_H_
