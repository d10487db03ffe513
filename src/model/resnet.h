#ifndef FINETUNE_MODEL_RESNET_H_
#define FINETUNE_MODEL_RESNET_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// ResNet (He et al. 2015, "Deep Residual Learning for Image Recognition") with mmpretrain's names.
// The stem is the first convolution and its pooling; stages 1 to 4 are layer1 to layer4. For a
// depth or width that does not exist, adds an error to `problems` (those of model.backbone) and
// returns null.
std::unique_ptr<Backbone> MakeResNet(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_RESNET_H_
