#ifndef FINETUNE_MODEL_REGNET_H_
#define FINETUNE_MODEL_REGNET_H_

#include <memory>

#include "src/model/backbone.h"

namespace finetune {

// RegNetX and RegNetY (Radosavovic et al. 2020, "Designing Network Design Spaces") with
// mmpretrain's names. The stem is the first convolution; stages 1 to 4 are layer1 to layer4.
std::unique_ptr<Backbone> MakeRegNet(const BackboneConfig& config);

}  // namespace finetune

#endif  // FINETUNE_MODEL_REGNET_H_
