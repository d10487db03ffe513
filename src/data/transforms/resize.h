#ifndef FINETUNE_DATA_TRANSFORMS_RESIZE_H_
#define FINETUNE_DATA_TRANSFORMS_RESIZE_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Resizes each image to the height and width that the config gives. Pixel i is taken to lie at i +
// 0.5, and pixels beyond an edge equal the edge pixel. See Resampling in taps.h for the two
// conventions.
std::unique_ptr<Transform> MakeResize(const ResizeConfig& config, const ImageShape& input,
                                      const Problems& problems);
// Resizes each image so that its short or its long edge gets the length that the config gives, and
// the ratio of its sides stays.
std::unique_ptr<Transform> MakeResizeEdge(const ResizeEdgeConfig& config, const ImageShape& input,
                                          const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RESIZE_H_
