#ifndef FINETUNE_DATA_TRANSFORMS_GAUSSIAN_BLUR_H_
#define FINETUNE_DATA_TRANSFORMS_GAUSSIAN_BLUR_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Blurs each image as torchvision's GaussianBlur does, with the probability that the config gives.
// Its only draw is sigma in pixels, as the bits of a float64; 0 leaves the image as it is.
std::unique_ptr<Transform> MakeGaussianBlur(const GaussianBlurConfig& config,
                                            const ImageShape& input, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_GAUSSIAN_BLUR_H_
