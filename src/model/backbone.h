#ifndef FINETUNE_MODEL_BACKBONE_H_
#define FINETUNE_MODEL_BACKBONE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/config/experiment.pb.h"
#include "src/model/builder.h"
#include "src/model/forward_context.h"
#include "src/model/layers.h"

namespace finetune {

class Problems;

// The images that a network takes.
struct InputShape {
  int64_t channels;
  int64_t side = 0;  // height and width; 0: any
};

// The shape of a backbone's output for N images: maps [N, channels, H, W] or vectors [N, channels].
struct Features {
  int64_t channels;
  bool are_maps;
};

// A network from the images to the features, without neck and head: a stem (stage 0) and stages 1,
// 2, ... in the order of the forward pass.
//
// A network says what its stages are made of and how each one runs. This class decides which of
// them are trained (model.backbone.frozen_stages: the stem and stages 1..k are not), and so which
// tensors require gradients, where the forward pass records a graph, and when a folded batch norm
// is dropped.
class Backbone {
 public:
  virtual ~Backbone() = default;
  Backbone(const Backbone&) = delete;
  Backbone& operator=(const Backbone&) = delete;

  // For messages: "ResNet-50".
  virtual std::string name() const = 0;
  // The number of stages behind the stem.
  virtual int stages() const = 0;
  virtual InputShape input() const = 0;
  virtual Features features() const = 0;

  // Adds an error to those of model.backbone where it freezes stages that the network does not
  // have.
  void CheckFrozenStages(const Problems& problems) const;

  // Makes the tensors, once, before any of the functions below is called. Each stage is a part of
  // the builder; the part that Build() begins last is the head's.
  // `seed`: of random draws; the same on every rank.
  void Build(const ForwardMode& mode, uint64_t seed, LayerBuilder* make);

  // The linear layer that the head ends with, from `in` features to the classes. By default it is
  // mmpretrain's "head.fc".
  virtual Linear BuildHead(int64_t in, int64_t classes, LayerBuilder* make) const;

  // Whether the network takes images of this shape. Errors: InvalidArgument with the shapes that it
  // takes, and what to do.
  absl::Status CheckInput(int64_t channels, int64_t height, int64_t width) const;

  // How many values of each channel one image of this size gives to the smallest batch norm that
  // takes its statistics from the batch while training. 0: none does. With 1, a pass of one image
  // cannot be trained on: one value has no variance.
  int64_t LeastBatchNormValues(int64_t height, int64_t width) const;

  // images: [N, C, H, W] that CheckInput() takes, channels-last, in the type to compute in. Returns
  // features(). In training, trained stages record the graph, where gradients are enabled, and take
  // their statistics from the batch.
  at::Tensor Forward(at::Tensor images, const ForwardContext& context);

  // Drops the folded convolutions: of all stages, or of the trained ones.
  void DropFolded(bool all);

  // Whether training changes the running statistics of trained batch norms.
  bool batch_statistics() const { return !norm_eval_; }

 protected:
  explicit Backbone(const BackboneConfig& config)
      : frozen_stages_(config.frozen_stages()), norm_eval_(config.norm_eval()) {}

 private:
  bool IsFrozen(int stage) const { return stage <= frozen_stages_; }

  // Makes the layers of a stage, in the order of the forward pass. Called for 0, 1, .. stages().
  virtual void BuildStage(int stage, LayerBuilder* make) = 0;
  // Runs a stage on the result of the stage before, or on the images. A frozen stage runs without
  // gradients.
  virtual at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) = 0;
  // How many values of each channel one image of this size gives to the smallest batch norm of the
  // last stage; 0: the network has no batch norm.
  virtual int64_t LastBatchNormValues(int64_t height, int64_t width) const = 0;

  const int frozen_stages_;
  const bool norm_eval_;
  ForwardMode mode_;
  uint64_t seed_ = 0;
  // By stage, the places of the folded convolutions of its layers.
  std::vector<std::vector<std::shared_ptr<std::optional<PackedConv>>>> folded_;
};

// How many pixels a map has after its sides were halved so many times, each time rounded up.
int64_t HalvedPixels(int64_t height, int64_t width, int times);

}  // namespace finetune

#endif  // FINETUNE_MODEL_BACKBONE_H_
