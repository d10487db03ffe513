#include "src/model/classifier.h"

#include "src/model/lenet.h"
#include "src/model/resnet.h"

namespace finetune {

absl::StatusOr<std::unique_ptr<Classifier>> Classifier::Create(const ModelConfig& config,
                                                               const ClassifierOptions& options) {
  switch (config.backbone().kind_case()) {
    case BackboneConfig::kResnet:
      return MakeResNet(config, options);
    case BackboneConfig::kLenet5:
      return MakeLeNet5(config, options);
    case BackboneConfig::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("model.backbone has no kind");
}

TensorList Classifier::State() const {
  TensorList state = parameters_;
  state.insert(state.end(), buffers_.begin(), buffers_.end());
  return state;
}

}  // namespace finetune
