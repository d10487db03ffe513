#ifndef FINETUNE_DATA_TRANSFORMS_ALL_H_
#define FINETUNE_DATA_TRANSFORMS_ALL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Returns the transform that a config describes, for images of shape `input`. If its settings are
// wrong or do not fit the images, adds an error to `problems` and returns null. Normalize is not a
// Transform (the pipeline handles it as its last step), so a normalize config is an error here.
std::unique_ptr<Transform> MakeTransform(const TransformConfig& config, const ImageShape& input,
                                         const Problems& problems);

// Returns the name of the step's kind, such as "random_flip"; "" if the config has no kind.
std::string KindName(const TransformConfig& config);

// Returns whether the step changes images at random.
bool IsRandom(const TransformConfig& config);

// Returns the number of the random stream that a step of a pipeline draws from (see RandomStream).
// It depends only on the step's kind and on `before`, the number of earlier steps of the same kind.
// So adding a step of another kind does not change the draws of this step.
uint32_t StepStream(TransformConfig::KindCase kind, int before);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_ALL_H_
