#ifndef FINETUNE_MODEL_EFFICIENTNET_H_
#define FINETUNE_MODEL_EFFICIENTNET_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// EfficientNet-Lite0 to -Lite4 (Tan and Le 2019), under the names of the PyPI package
// efficientnet-lite-pytorch, whose weights load ("backbone._blocks.0._bn1.weight"). Returns null,
// and adds to the errors of model.backbone, for another variant.
std::unique_ptr<Backbone> MakeEfficientNetLite(const BackboneConfig& config,
                                               const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_EFFICIENTNET_H_
