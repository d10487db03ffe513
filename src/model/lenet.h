#ifndef FINETUNE_MODEL_LENET_H_
#define FINETUNE_MODEL_LENET_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// LeNet-5 (LeCun et al. 1998) in mmpretrain's form: 32x32 images of one channel, tanh, average
// pooling. As in mmpretrain, the names of both linear layers are the backbone's:
// backbone.classifier.0 and .2. The stem is the first convolution, stage 1 the second, stage 2 the
// third convolution and the first linear layer.
std::unique_ptr<Backbone> MakeLeNet5(const BackboneConfig& config);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LENET_H_
