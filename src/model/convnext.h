#ifndef FINETUNE_MODEL_CONVNEXT_H_
#define FINETUNE_MODEL_CONVNEXT_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// Makes a ConvNeXt (Liu et al. 2022) or ConvNeXt V2 (Woo et al. 2023). Its tensors have
// mmpretrain's names ("backbone.stages.0.0.depthwise_conv.weight"); its other names are those of
// the authors' programs, torchvision and timm. `problems`: those of model.backbone. Adds an error
// to `problems` for a wrong drop_path or layer_scale_init.
std::unique_ptr<Backbone> MakeConvNeXt(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_CONVNEXT_H_
