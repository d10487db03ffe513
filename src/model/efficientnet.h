#ifndef FINETUNE_MODEL_EFFICIENTNET_H_
#define FINETUNE_MODEL_EFFICIENTNET_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// Makes EfficientNet-B0 to -B4 (Tan and Le 2019). Its tensors have mmpretrain's names
// ("backbone.layers.1.0.se.conv1.conv.bias"); its other names are those of torchvision, timm and
// efficientnet_pytorch. `problems`: those of model.backbone. For any other variant, adds an error
// to `problems` and returns null.
std::unique_ptr<Backbone> MakeEfficientNet(const BackboneConfig& config, const Problems& problems);

// Makes EfficientNet-Lite0 to -Lite4. Its tensors have the names of the PyPI package
// efficientnet-lite-pytorch ("backbone._blocks.0._bn1.weight"), whose checkpoints load; its other
// names are timm's. `problems`: those of model.backbone. For any other variant, adds an error to
// `problems` and returns null.
std::unique_ptr<Backbone> MakeEfficientNetLite(const BackboneConfig& config,
                                               const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_EFFICIENTNET_H_
