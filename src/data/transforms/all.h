#ifndef FINETUNE_DATA_TRANSFORMS_ALL_H_
#define FINETUNE_DATA_TRANSFORMS_ALL_H_

#include <memory>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// The transform of a config, for images of this shape. Not for Normalize, which is not a Transform.
// Errors: InvalidArgument for a config that does not fit the images or lacks its settings.
absl::StatusOr<std::unique_ptr<Transform>> MakeTransform(const TransformConfig& config,
                                                         const ImageShape& input);

// Names the stream of random numbers that a step draws from, for RandomStream. It depends on the
// step's kind and on how many steps of that kind come before it, so that another kind of step does
// not change what the others draw.
uint32_t StepStream(TransformConfig::KindCase kind, int before);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_ALL_H_
