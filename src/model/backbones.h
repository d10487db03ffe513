#ifndef FINETUNE_MODEL_BACKBONES_H_
#define FINETUNE_MODEL_BACKBONES_H_

#include <memory>

#include "src/config/experiment.pb.h"
#include "src/model/backbone.h"

namespace finetune {

class Problems;

// Returns the network that the config names; the caller must still call Build(). Adds an error to
// `problems` (those of model.backbone) for each value that the network cannot have. Returns null
// where no network can be made.
std::unique_ptr<Backbone> MakeBackbone(const BackboneConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_MODEL_BACKBONES_H_
