#ifndef FINETUNE_DATA_TRANSFORMS_RANDOM_ROTATION_H_
#define FINETUNE_DATA_TRANSFORMS_RANDOM_ROTATION_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Turns each image by a random angle, with the probability that the config gives. Its only draw is
// the angle in degrees, counter-clockwise, as the bits of a float64; 0 leaves the image as it is.
std::unique_ptr<Transform> MakeRandomRotation(const RandomRotationConfig& config,
                                              const ImageShape& input, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RANDOM_ROTATION_H_
