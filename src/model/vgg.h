#ifndef FINETUNE_MODEL_VGG_H_
#define FINETUNE_MODEL_VGG_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// VGG with batch norm (Simonyan and Zisserman 2014) with mmpretrain's names. The stem and stages 1
// to 4 are the five groups of convolutions, each with the pooling behind it. The two hidden linear
// layers belong to stage 4. For a depth that does not exist, or another wrong field, adds an error
// to `problems` (those of model.backbone) and returns null.
std::unique_ptr<Backbone> MakeVgg(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_VGG_H_
