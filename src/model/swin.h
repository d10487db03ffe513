#ifndef FINETUNE_MODEL_SWIN_H_
#define FINETUNE_MODEL_SWIN_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// Makes the network of config.swin(), on which Backbone::Build() must still be called. Its tensors
// have mmpretrain's names ("backbone.stages.0.blocks.0.attn.w_msa.qkv.weight"). Returns null and
// adds errors to `problems` (those of model.backbone) where the config is wrong.
std::unique_ptr<Backbone> MakeSwin(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_SWIN_H_
