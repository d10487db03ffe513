#ifndef FINETUNE_DATA_TRANSFORMS_GRAYSCALE_H_
#define FINETUNE_DATA_TRANSFORMS_GRAYSCALE_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Makes the image grey and copies the grey value to 1 or 3 channels, as the config says.
std::unique_ptr<Transform> MakeGrayscale(const GrayscaleConfig& config, const ImageShape& input,
                                         const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_GRAYSCALE_H_
