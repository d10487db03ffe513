#ifndef FINETUNE_MODEL_MOBILENET_V2_H_
#define FINETUNE_MODEL_MOBILENET_V2_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// MobileNetV2 (Sandler et al. 2018) with mmpretrain's names ("backbone.layer1.0.conv.0.bn.bias").
// torchvision's and timm's names load as well. For a width that is out of range, adds an error to
// `problems` (those of model.backbone) and returns null.
std::unique_ptr<Backbone> MakeMobileNetV2(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_MOBILENET_V2_H_
