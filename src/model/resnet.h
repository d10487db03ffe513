#ifndef FINETUNE_MODEL_RESNET_H_
#define FINETUNE_MODEL_RESNET_H_

#include <memory>

#include "src/model/classifier.h"

namespace finetune {

// He et al. 2015, "Deep Residual Learning for Image Recognition", with a global average pooling and
// a linear head.
absl::StatusOr<std::unique_ptr<Classifier>> MakeResNet(const ModelConfig& config,
                                                       const ClassifierOptions& options);

}  // namespace finetune

#endif  // FINETUNE_MODEL_RESNET_H_
