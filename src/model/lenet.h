#ifndef FINETUNE_MODEL_LENET_H_
#define FINETUNE_MODEL_LENET_H_

#include <memory>

#include "src/model/classifier.h"

namespace finetune {

// LeCun et al. 1998 in mmpretrain's form: 32x32 pictures of one channel, tanh, average pooling. As
// there, its two linear layers are the backbone's own (backbone.classifier.0 and .2).
absl::StatusOr<std::unique_ptr<Classifier>> MakeLeNet5(const ModelConfig& config,
                                                       const ClassifierOptions& options);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LENET_H_
