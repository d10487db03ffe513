#ifndef FINETUNE_MODEL_EFFICIENTNET_H_
#define FINETUNE_MODEL_EFFICIENTNET_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// EfficientNet-B0 to -B4 (Tan and Le 2019), under mmpretrain's names
// ("backbone.layers.1.0.se.conv1.conv.bias"). The names of torchvision, timm and
// efficientnet_pytorch are its other names. Returns null, and adds to the errors of model.backbone,
// for another variant.
std::unique_ptr<Backbone> MakeEfficientNet(const BackboneConfig& config, const Problems& problems);

// EfficientNet-Lite0 to -Lite4, under the names of the PyPI package efficientnet-lite-pytorch,
// whose weights load ("backbone._blocks.0._bn1.weight"). timm's are its other names. Returns null,
// and adds to the errors of model.backbone, for another variant.
std::unique_ptr<Backbone> MakeEfficientNetLite(const BackboneConfig& config,
                                               const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_EFFICIENTNET_H_
