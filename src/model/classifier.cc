#include "src/model/classifier.h"

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

at::Tensor Classifier::Input(const at::Tensor& images, int64_t channels, at::ScalarType type) {
  TORCH_CHECK_VALUE(images.dim() == 4 && images.size(1) == channels, "the model takes pictures of ",
                    channels, " channels, [N, ", channels, ", H, W], and got ", images.sizes());
  return images.to(type).contiguous(at::MemoryFormat::ChannelsLast);
}

TensorList Classifier::State() const {
  TensorList state = parameters_;
  state.insert(state.end(), buffers_.begin(), buffers_.end());
  return state;
}

}  // namespace finetune
