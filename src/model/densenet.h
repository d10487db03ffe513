#ifndef FINETUNE_MODEL_DENSENET_H_
#define FINETUNE_MODEL_DENSENET_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// Makes DenseNet-121, -161, -169 or -201 (Huang et al. 2017). Its tensors have mmpretrain's names
// ("backbone.stages.0.block.0.norm1.weight"); its other names are those of torchvision, old
// checkpoints of torchvision, and timm. `problems`: those of model.backbone. For any other depth,
// adds an error to `problems` and returns null.
std::unique_ptr<Backbone> MakeDenseNet(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_DENSENET_H_
