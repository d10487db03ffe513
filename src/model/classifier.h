#ifndef FINETUNE_MODEL_CLASSIFIER_H_
#define FINETUNE_MODEL_CLASSIFIER_H_

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/model/backbone.h"
#include "src/model/builder.h"
#include "src/model/forward_context.h"
#include "src/model/head.h"
#include "src/model/layers.h"
#include "src/model/neck.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

class Problems;

struct ClassifierOptions {
  // Seeds the initial weights and the random draws of training. The same on every rank.
  uint64_t seed = 0;
  at::Device device = at::kCPU;
  ForwardMode mode;
};

// Adds an error to `problems` (those of the config's `model`) for each value that no model can
// have.
void CheckModel(const ModelConfig& config, const Problems& problems);

// Returns the number of channels of the images that the config's network takes; 0 where the config
// is wrong or has no network.
int64_t InputChannels(const BackboneConfig& config);

// A backbone, a neck and a head. Parameters and buffers have mmpretrain's names. A network that
// mmpretrain lacks has the names of the package whose weights it loads, after "backbone.".
class Classifier {
 public:
  // Makes a model with new random weights. Errors: InvalidArgument with the errors of CheckModel().
  static absl::StatusOr<std::unique_ptr<Classifier>> Create(const ModelConfig& config,
                                                            const ClassifierOptions& options);

  // See the same functions of Backbone.
  absl::Status CheckInput(int64_t channels, int64_t height, int64_t width) const {
    return backbone_->CheckInput(channels, height, width);
  }
  absl::Status CheckNames(absl::string_view first_convolution) const {
    return backbone_->CheckNames(first_convolution);
  }
  std::vector<std::string> ConvertWeights(Given* given) const {
    return backbone_->ConvertWeights(given);
  }
  int64_t LeastBatchNormValues(int64_t height, int64_t width) const {
    return backbone_->LeastBatchNormValues(height, width);
  }

  // See Backbone::name() and Backbone::usual_normalization().
  std::string backbone_name() const { return backbone_->name(); }
  NormalizeConfig usual_normalization() const { return backbone_->usual_normalization(); }

  // Returns logits, [N, num_classes] float32. images: [N, C, H, W], N may be 0; channels-last
  // images in the type to compute in are not copied. Training updates the running statistics and,
  // with gradients enabled, records the graph of the trained part. Throws c10::Error with
  // CheckInput()'s message for images that it refuses.
  at::Tensor Forward(const at::Tensor& images, const ForwardContext& context);

  // The two parts of Forward(). Vectors() returns the head's input, [N, channels] float32: the
  // backbone's features, with maps averaged over their pixels. Logits() runs the head on it.
  at::Tensor Vectors(const at::Tensor& images, const ForwardContext& context);
  at::Tensor Logits(const at::Tensor& vectors, const ForwardContext& context) const;

  // All parameters, in the order of the forward pass. The trained ones require gradients.
  const TensorList& parameters() const { return parameters_; }
  // The running statistics and batch counters of the batch norms.
  const TensorList& buffers() const { return buffers_; }

  // Returns how many parts of the network come after the part of parameters()[index]. The parts are
  // the stages and the head, so this is 0 for the head, 1 for the last stage, and so on to the
  // stem. The final norm of a vision transformer or a Swin transformer counts to the head.
  int PartsBehind(size_t index) const;

  // Returns whether parameters()[index] is the weight of a convolution or a linear layer, and not a
  // bias, a scale, or a vector that is added to a network's values.
  bool IsLayersWeight(size_t index) const;

  // Returns parameters and buffers, the content of a checkpoint's state_dict.
  TensorList State() const;
  // Returns the parameters that are trained.
  TensorList TrainedParameters() const;
  // Returns the buffers that a training pass changes.
  TensorList ChangingBuffers() const;

  // The names that other packages' checkpoints have for the model's layers.
  const LayerNames& other_names() const { return other_names_; }

  // Drops the folded convolutions of all stages, or (`all` false) of the trained ones. Must be
  // called after anything but Forward() has written to parameters or buffers.
  void ParametersChanged(bool all) { backbone_->DropFolded(all); }

 private:
  Classifier() = default;

  // Returns the images in the backbone's type and layout; copies them only where one of these
  // differs.
  at::Tensor Input(const at::Tensor& images) const;

  bool bfloat16_ = false;
  TensorList parameters_;
  TensorList buffers_;
  LayerNames other_names_;
  std::unique_ptr<Backbone> backbone_;
  std::optional<Neck> neck_;
  std::optional<Head> head_;
  // The index in `parameters_` of the first parameter of each part: of each stage, then of the
  // head.
  std::vector<size_t> part_begins_;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_CLASSIFIER_H_
