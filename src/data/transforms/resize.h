#ifndef FINETUNE_DATA_TRANSFORMS_RESIZE_H_
#define FINETUNE_DATA_TRANSFORMS_RESIZE_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Resizes the image to the size that the config says: bilinear in OpenCV's convention (half-pixel
// centres, edges repeated, no antialiasing), but its results are not rounded to integers.
std::unique_ptr<Transform> MakeResize(const ResizeConfig& config, const ImageShape& input,
                                      const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RESIZE_H_
