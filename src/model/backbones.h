#ifndef FINETUNE_MODEL_BACKBONES_H_
#define FINETUNE_MODEL_BACKBONES_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/model/backbone.h"

namespace finetune {

class Problems;

// Returns the network that the config names, before Build(). `problems` are those of
// model.backbone: each value that the network cannot have adds an error. Returns null for a network
// that does not exist.
std::unique_ptr<Backbone> MakeBackbone(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_BACKBONES_H_
