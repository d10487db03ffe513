#ifndef FINETUNE_DATA_TRANSFORMS_RESIZE_H_
#define FINETUNE_DATA_TRANSFORMS_RESIZE_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/data/transforms/transform.h"

namespace finetune {

// Resizes the image to the size that the config says, with half-pixel centres. Pixels beyond an
// edge equal the edge pixel. See Resampling for the conventions.
std::unique_ptr<Transform> MakeResize(const ResizeConfig& config, const ImageShape& input,
                                      const Problems& problems);
// Resizes so that the short or the long edge has the size that the config says.
std::unique_ptr<Transform> MakeResizeEdge(const ResizeEdgeConfig& config, const ImageShape& input,
                                          const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RESIZE_H_
