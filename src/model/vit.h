#ifndef FINETUNE_MODEL_VIT_H_
#define FINETUNE_MODEL_VIT_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// Makes the network of config.vit(), on which Backbone::Build() must still be called. Returns null
// and adds errors to `problems` (those of model.backbone) where the config is wrong.
std::unique_ptr<Backbone> MakeVit(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_VIT_H_
