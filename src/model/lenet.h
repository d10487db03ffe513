#ifndef FINETUNE_MODEL_LENET_H_
#define FINETUNE_MODEL_LENET_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// LeCun et al. 1998 in mmpretrain's form: 32x32 images of one channel, tanh, average pooling. As
// there, both linear layers have the backbone's names (backbone.classifier.0 and .2). Stages: the
// stem is the first convolution, stage 1 the second, stage 2 the third and the first linear layer.
std::unique_ptr<Backbone> MakeLeNet5(const BackboneConfig& config);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LENET_H_
