#ifndef FINETUNE_DATA_TRANSFORMS_RANDOM_GRAYSCALE_H_
#define FINETUNE_DATA_TRANSFORMS_RANDOM_GRAYSCALE_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Makes each image grey with the probability that the config gives. The number of channels stays.
std::unique_ptr<Transform> MakeRandomGrayscale(const RandomGrayscaleConfig& config,
                                               const ImageShape& input, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RANDOM_GRAYSCALE_H_
