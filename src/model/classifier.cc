#include "src/model/classifier.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "src/model/lenet.h"
#include "src/model/resnet.h"

namespace finetune {

absl::StatusOr<std::unique_ptr<Classifier>> Classifier::Create(const ModelConfig& config,
                                                               const ClassifierOptions& options) {
  if (config.head().num_classes() < 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.head.num_classes is ", config.head().num_classes(), "; expected 2 or more"));
  }
  switch (config.backbone().kind_case()) {
    case BackboneConfig::kResnet:
      return MakeResNet(config, options);
    case BackboneConfig::kLenet5:
      return MakeLeNet5(config, options);
    case BackboneConfig::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("model.backbone has no kind; set resnet { ... } or lenet5 {}");
}

at::Tensor Classifier::Input(const at::Tensor& images, at::ScalarType type) const {
  TORCH_CHECK_VALUE(images.dim() == 4, "expected pictures as [N, C, H, W], found ", images.sizes());
  const absl::Status status = CheckInput(images.size(1), images.size(2), images.size(3));
  TORCH_CHECK_VALUE(status.ok(), std::string(status.message()));
  return images.to(type).contiguous(at::MemoryFormat::ChannelsLast);
}

TensorList Classifier::State() const {
  TensorList state = parameters_;
  state.insert(state.end(), buffers_.begin(), buffers_.end());
  return state;
}

}  // namespace finetune
