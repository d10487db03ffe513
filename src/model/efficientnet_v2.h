#ifndef FINETUNE_MODEL_EFFICIENTNET_V2_H_
#define FINETUNE_MODEL_EFFICIENTNET_V2_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// Makes EfficientNetV2 (Tan and Le 2021). Its tensors have mmpretrain's names
// ("backbone.layers.2.0.conv1.conv.weight"); its other names are those of torchvision and timm.
// `problems`: those of model.backbone. Adds an error to `problems` for each wrong field.
std::unique_ptr<Backbone> MakeEfficientNetV2(const BackboneConfig& config,
                                             const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_EFFICIENTNET_V2_H_
