#ifndef FINETUNE_MODEL_MOBILENET_V2_H_
#define FINETUNE_MODEL_MOBILENET_V2_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// MobileNetV2 (Sandler et al. 2018), under mmpretrain's names ("backbone.layer1.0.conv.0.bn.bias");
// torchvision's and timm's are its other names. Returns null, and adds to the errors of
// model.backbone, for a width that no network has.
std::unique_ptr<Backbone> MakeMobileNetV2(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_MOBILENET_V2_H_
