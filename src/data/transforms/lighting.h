#ifndef FINETUNE_DATA_TRANSFORMS_LIGHTING_H_
#define FINETUNE_DATA_TRANSFORMS_LIGHTING_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Makes the transform that shifts all colours of an image along the principal axes of a data set's
// colours; see LightingConfig. It has three draws: the alphas, as the bits of float64. Returns null
// and adds errors to `problems` for wrong values and for images that do not have three channels.
std::unique_ptr<Transform> MakeLighting(const LightingConfig& config, const ImageShape& input,
                                        const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_LIGHTING_H_
