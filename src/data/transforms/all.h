#ifndef FINETUNE_DATA_TRANSFORMS_ALL_H_
#define FINETUNE_DATA_TRANSFORMS_ALL_H_

#include <cstdint>
#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Returns the transform of a config, for images of this shape. Null, and an error in `problems`,
// where its settings are wrong or do not fit the images. Normalize is not a Transform and comes
// last: a step that is one is an error.
std::unique_ptr<Transform> MakeTransform(const TransformConfig& config, const ImageShape& input,
                                         const Problems& problems);

// Names the stream of random numbers that a step draws from, for RandomStream. It depends on the
// step's kind and on how many steps of that kind come before it, so that another kind of step does
// not change what the others draw.
uint32_t StepStream(TransformConfig::KindCase kind, int before);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_ALL_H_
