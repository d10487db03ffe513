#ifndef FINETUNE_MODEL_CLASSIFIER_H_
#define FINETUNE_MODEL_CLASSIFIER_H_

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
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

// Adds an error to those of `model` for each value that no model can have.
void CheckModel(const ModelConfig& config, const Problems& problems);

// The channels of the images that the network of a config takes; 0 where the config names none.
int64_t InputChannels(const BackboneConfig& config);

// Backbone, neck and head. Parameters and buffers are named as mmpretrain names them, those of a
// network that it lacks as their weights are, below "backbone.".
class Classifier {
 public:
  // Errors: InvalidArgument with what CheckModel() finds.
  static absl::StatusOr<std::unique_ptr<Classifier>> Create(const ModelConfig& config,
                                                            const ClassifierOptions& options);

  // See Backbone.
  absl::Status CheckInput(int64_t channels, int64_t height, int64_t width) const {
    return backbone_->CheckInput(channels, height, width);
  }
  int64_t LeastBatchNormValues(int64_t height, int64_t width) const {
    return backbone_->LeastBatchNormValues(height, width);
  }

  // images: [N, C, H, W], N may be 0; fastest as channels-last in the type to compute in. Returns
  // logits, [N, num_classes] float32. Training updates running statistics and, with gradients
  // enabled, records the graph of the trained part. Throws c10::Error for images that CheckInput()
  // refuses, with its message.
  at::Tensor Forward(const at::Tensor& images, const ForwardContext& context);

  // Its two parts. Vectors() returns the vectors that the head takes, [N, channels] float32: the
  // backbone's features, of which maps are averaged over their places.
  at::Tensor Vectors(const at::Tensor& images, const ForwardContext& context);
  at::Tensor Logits(const at::Tensor& vectors, const ForwardContext& context) const;

  // In the order of the forward pass. Those that are trained require gradients.
  const TensorList& parameters() const { return parameters_; }
  // Running statistics of the batch norms.
  const TensorList& buffers() const { return buffers_; }

  // Returns the number of parts of the network behind the one that parameters()[index] belongs to:
  // 0 for the head, 1 for the last stage, and so on to the stem.
  int PartsBehind(size_t index) const;

  // Both, as a checkpoint's state_dict has them.
  TensorList State() const;
  // The parameters that are trained.
  TensorList TrainedParameters() const;
  // The buffers that a training pass changes.
  TensorList ChangingBuffers() const;

  // Where checkpoints name the model's layers otherwise.
  const LayerNames& other_names() const { return other_names_; }

  // Drops the folded convolutions of all stages, or (`all` false) of the trained ones. Must be
  // called after parameters or buffers were written to other than by Forward().
  void ParametersChanged(bool all) { backbone_->DropFolded(all); }

 private:
  Classifier() = default;

  // The images in the type and layout that the backbone wants; not copied where they have both.
  at::Tensor Input(const at::Tensor& images) const;

  bool bfloat16_ = false;
  TensorList parameters_;
  TensorList buffers_;
  LayerNames other_names_;
  std::unique_ptr<Backbone> backbone_;
  std::optional<Neck> neck_;
  std::optional<Head> head_;
  // For each part, the index of its first parameter. The parts are the stages and the head.
  std::vector<size_t> part_begins_;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_CLASSIFIER_H_
