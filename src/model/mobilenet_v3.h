#ifndef FINETUNE_MODEL_MOBILENET_V3_H_
#define FINETUNE_MODEL_MOBILENET_V3_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// MobileNetV3-Large and -Small (Howard et al. 2019), under mmpretrain's names
// ("backbone.layer4.se.conv1.conv.bias"); torchvision's and timm's are its other names. The
// features are those of the classifier's hidden layer, which belongs to the last stage: they are
// vectors.
std::unique_ptr<Backbone> MakeMobileNetV3(const BackboneConfig& config);

}  // namespace finetune

#endif  // FINETUNE_MODEL_MOBILENET_V3_H_
