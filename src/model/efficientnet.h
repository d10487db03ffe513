#ifndef FINETUNE_MODEL_EFFICIENTNET_H_
#define FINETUNE_MODEL_EFFICIENTNET_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// EfficientNet-Lite0 to -Lite4 (Tan and Le 2019). Tensors have the names of the PyPI package
// efficientnet-lite-pytorch after "backbone." ("backbone._blocks.0._bn1.weight"), so its weights
// load. For a variant that does not exist, adds an error to `problems` (those of model.backbone)
// and returns null.
std::unique_ptr<Backbone> MakeEfficientNetLite(const BackboneConfig& config,
                                               const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_EFFICIENTNET_H_
