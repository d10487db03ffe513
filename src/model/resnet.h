#ifndef FINETUNE_MODEL_RESNET_H_
#define FINETUNE_MODEL_RESNET_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// He et al. 2015, "Deep Residual Learning for Image Recognition", with mmpretrain's names. Stages:
// the stem is the first convolution and its pooling, stages 1 to 4 are layer1 to layer4. Returns
// null, and adds to the errors of model.backbone, where there is no network of such a depth or
// width.
std::unique_ptr<Backbone> MakeResNet(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_RESNET_H_
