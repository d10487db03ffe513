#include "src/model/classifier.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "src/config/problems.h"
#include "src/model/backbones.h"

namespace finetune {
namespace {

// Returns the backbone of the config, on which Backbone::Build() must still be called; null where
// none can be made. Adds the errors of backbone, neck and head to `problems`.
std::unique_ptr<Backbone> CheckAndMakeBackbone(const ModelConfig& config,
                                               const Problems& problems) {
  std::unique_ptr<Backbone> backbone = MakeBackbone(config.backbone(), problems.Within("backbone"));
  if (backbone != nullptr) Neck::Check(config.neck(), *backbone, problems.Within("neck"));
  Head::Check(config.head(), problems.Within("head"));
  return backbone;
}

}  // namespace

void CheckModel(const ModelConfig& config, const Problems& problems) {
  CheckAndMakeBackbone(config, problems);
}

int64_t InputChannels(const BackboneConfig& config) {
  ProblemList ignored;
  const std::unique_ptr<Backbone> backbone = MakeBackbone(config, Problems(&ignored));
  return backbone == nullptr ? 0 : backbone->input().channels;
}

absl::StatusOr<std::unique_ptr<Classifier>> Classifier::Create(const ModelConfig& config,
                                                               const ClassifierOptions& options) {
  ProblemList problems;
  std::unique_ptr<Backbone> backbone = CheckAndMakeBackbone(config, Problems(&problems, "model"));
  FT_RETURN_IF_ERROR(problems.status());

  std::unique_ptr<Classifier> model(new Classifier());
  LayerBuilder make(options.seed, options.device, &model->parameters_, &model->buffers_,
                    &model->other_names_);
  backbone->Build(options.mode, options.seed, &make);
  const Features features = backbone->features();
  Linear linear = backbone->BuildHead(features.channels, config.head().num_classes(), &make);
  model->part_begins_ = make.part_begins();
  model->bfloat16_ = options.mode.bfloat16;
  model->backbone_ = std::move(backbone);
  model->neck_.emplace(features);
  model->head_.emplace(config.head(), std::move(linear), options.seed);
  return model;
}

at::Tensor Classifier::Input(const at::Tensor& images) const {
  TORCH_CHECK_VALUE(images.dim() == 4, "expected images as [N, C, H, W], found ", images.sizes());
  const absl::Status status = CheckInput(images.size(1), images.size(2), images.size(3));
  TORCH_CHECK_VALUE(status.ok(), std::string(status.message()));
  return images.to(bfloat16_ ? at::kBFloat16 : at::kFloat)
      .contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor Classifier::Forward(const at::Tensor& images, const ForwardContext& context) {
  const at::AutoGradMode gradients(context.training && at::GradMode::is_enabled());
  return Logits(Vectors(images, context), context);
}

at::Tensor Classifier::Vectors(const at::Tensor& images, const ForwardContext& context) {
  return neck_->Forward(backbone_->Forward(Input(images), context));
}

at::Tensor Classifier::Logits(const at::Tensor& vectors, const ForwardContext& context) const {
  return head_->Forward(vectors, context);
}

TensorList Classifier::State() const {
  TensorList state = parameters_;
  state.insert(state.end(), buffers_.begin(), buffers_.end());
  return state;
}

int Classifier::PartsBehind(size_t index) const {
  return static_cast<int>(part_begins_.end() -
                          std::upper_bound(part_begins_.begin(), part_begins_.end(), index));
}

bool Classifier::IsLayersWeight(size_t index) const {
  const NamedTensor& parameter = parameters_[index];
  const int64_t dims = parameter.tensor.dim();
  return absl::EndsWith(parameter.name, ".weight") && (dims == 2 || dims == 4);
}

TensorList Classifier::TrainedParameters() const {
  TensorList trained;
  for (const NamedTensor& parameter : parameters_) {
    if (parameter.tensor.requires_grad()) trained.push_back(parameter);
  }
  return trained;
}

TensorList Classifier::ChangingBuffers() const {
  TensorList changing;
  if (!backbone_->batch_statistics()) return changing;
  std::set<std::string> layers;
  for (const NamedTensor& parameter : TrainedParameters()) layers.insert(LayerOf(parameter.name));
  for (const NamedTensor& buffer : buffers_) {
    if (layers.contains(LayerOf(buffer.name))) changing.push_back(buffer);
  }
  return changing;
}

}  // namespace finetune
