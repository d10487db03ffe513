#ifndef FINETUNE_DATA_TRANSFORMS_LIGHTING_H_
#define FINETUNE_DATA_TRANSFORMS_LIGHTING_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Shifts the colours of an image along the main axes of a data set's colours. It has three draws:
// the alphas, as the bits of float64.
std::unique_ptr<Transform> MakeLighting(const LightingConfig& config, const ImageShape& input,
                                        const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_LIGHTING_H_
