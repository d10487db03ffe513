#ifndef FINETUNE_DATA_TRANSFORMS_GAUSSIAN_BLUR_H_
#define FINETUNE_DATA_TRANSFORMS_GAUSSIAN_BLUR_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Blurs the image as torchvision's GaussianBlur does. Its only draw is sigma, as the bits of a
// float64. A sigma of 0 leaves the image as it is.
std::unique_ptr<Transform> MakeGaussianBlur(const GaussianBlurConfig& config,
                                            const ImageShape& input, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_GAUSSIAN_BLUR_H_
