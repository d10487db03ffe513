#ifndef FINETUNE_MODEL_MOBILENET_V3_H_
#define FINETUNE_MODEL_MOBILENET_V3_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// Makes MobileNetV3-Large or -Small (Howard et al. 2019). Its tensors have mmpretrain's names
// ("backbone.layer4.se.conv1.conv.bias"); its other names are torchvision's and timm's. The
// features are vectors, not maps: the result of the classifier's hidden layer, which belongs to the
// last stage.
std::unique_ptr<Backbone> MakeMobileNetV3(const BackboneConfig& config);

}  // namespace finetune

#endif  // FINETUNE_MODEL_MOBILENET_V3_H_
