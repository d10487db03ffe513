#ifndef FINETUNE_MODEL_TRANSFORMERS_NAMES_H_
#define FINETUNE_MODEL_TRANSFORMERS_NAMES_H_

#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// torchvision's name for a tensor of transformers' ResNetForImageClassification, such as
// "layer1.0.conv2.weight" for "resnet.encoder.stages.0.layers.0.layer.1.convolution.weight". Any
// other name as it is. The two lay out the same network and differ in names alone.
std::string FromTransformers(absl::string_view name);

}  // namespace finetune

#endif  // FINETUNE_MODEL_TRANSFORMERS_NAMES_H_
