#ifndef FINETUNE_MODEL_BACKBONE_H_
#define FINETUNE_MODEL_BACKBONE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/config/experiment.pb.h"
#include "src/model/builder.h"
#include "src/model/forward_context.h"
#include "src/model/layers.h"

namespace finetune {

class Problems;

// The shape of the images that a network takes.
struct InputShape {
  int64_t channels;
  int64_t side = 0;  // required height and width in pixels; 0: any size from least_side on
  int64_t least_side = 1;
};

// The shape of a backbone's output for N images: maps [N, channels, H, W] or vectors [N, channels].
struct Features {
  int64_t channels;
  bool are_maps;
};

// A network without neck and head, which computes features from images: a stem (stage 0) and stages
// 1, 2, ... in the order of the forward pass.
//
// A subclass builds its stages and runs each one. This class decides which stages are trained: with
// model.backbone.frozen_stages = k >= 0, the stem and stages 1 to k are frozen. This settles which
// tensors require gradients, which part of the forward pass records a graph, and which folded batch
// norms must be dropped.
class Backbone {
 public:
  virtual ~Backbone() = default;
  Backbone(const Backbone&) = delete;
  Backbone& operator=(const Backbone&) = delete;

  // The name for messages, such as "ResNet-50".
  virtual std::string name() const = 0;
  // The number of stages after the stem.
  virtual int stages() const = 0;
  virtual InputShape input() const = 0;
  virtual Features features() const = 0;
  // Returns the normalize step with which the network's published weights were trained. Empty if
  // that is unknown or differs between publishers. By default this is ImageNet's mean and std, as
  // in torchvision, mmpretrain and most of timm.
  virtual NormalizeConfig usual_normalization() const;

  // Adds an error to `problems` (those of model.backbone) where frozen_stages is not a number from
  // -1 to stages().
  void CheckFrozenStages(const Problems& problems) const;

  // Makes the tensors of all stages. Must be called exactly once, before any of the functions
  // below. Begins a part of `make` for each stage (LayerBuilder::BeginPart()), and then the part of
  // the head. `seed`: the seed of the random draws of forward passes, the same on every rank.
  void Build(const ForwardMode& mode, uint64_t seed, LayerBuilder* make);

  // Returns the last linear layer of the head, from `in` features to `classes` logits. By default
  // it is named "head.fc", as in mmpretrain.
  virtual Linear BuildHead(int64_t in, int64_t classes, LayerBuilder* make) const;

  // Returns OK if the network takes images of this shape. Errors: InvalidArgument with the found
  // and the expected shape and how to change the data pipeline.
  absl::Status CheckInput(int64_t channels, int64_t height, int64_t width) const;

  // Checks that the config's padding and epsilon fit the weights of a checkpoint, as far as its
  // names tell. `first_convolution`: the checkpoint's name of the first convolution. The network's
  // own names always fit. Errors: InvalidArgument with the setting that the config must have.
  virtual absl::Status CheckNames(absl::string_view first_convolution) const {
    return absl::OkStatus();
  }

  // Returns the least number of values for each channel that one image of this size gives to any
  // batch norm that uses the batch's statistics in training; 0 where there is no such batch norm.
  // Where it is 1, the network cannot be trained on a pass of one image: a single value has no
  // variance.
  int64_t LeastBatchNormValues(int64_t height, int64_t width) const;

  // Returns the features, of the shape features(). images: [N, C, H, W] of a shape that
  // CheckInput() accepts, channels-last, in the type to compute in. If context.training is true,
  // the trained stages use the batch's statistics (unless norm_eval is set) and record the graph
  // where gradients are enabled.
  at::Tensor Forward(at::Tensor images, const ForwardContext& context);

  // Drops the folded convolutions of all stages, or (`all` false) of the trained stages only. They
  // are made again when they are needed.
  void DropFolded(bool all);

  // Whether the batch norms of trained stages use and record the batch's statistics in training;
  // false with norm_eval.
  bool batch_statistics() const { return !norm_eval_; }

 protected:
  explicit Backbone(const BackboneConfig& config)
      : frozen_stages_(config.frozen_stages()), norm_eval_(config.norm_eval()) {}

 private:
  bool IsFrozen(int stage) const { return stage <= frozen_stages_; }

  // Makes the layers of a stage, in the order of the forward pass. Build() calls it for stages 0,
  // 1, ... stages(), in this order.
  virtual void BuildStage(int stage, LayerBuilder* make) = 0;
  // Runs a stage on `x`: the result of the stage before, or the images for stage 0. Forward()
  // disables gradients around a frozen stage.
  virtual at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) = 0;
  // Returns the least number of values for each channel that one image of this size gives to a
  // batch norm of the last stage; 0 where the network has no batch norm.
  virtual int64_t LastBatchNormValues(int64_t height, int64_t width) const = 0;

  const int frozen_stages_;
  const bool norm_eval_;
  ForwardMode mode_;
  uint64_t seed_ = 0;
  // folded_[stage]: where the layers of a stage keep their folded convolutions (ConvBn::folded).
  std::vector<std::vector<std::shared_ptr<std::optional<PackedConv>>>> folded_;
};

// Returns the number of pixels of a map whose height and width were halved `times` times, each time
// rounded up.
int64_t HalvedPixels(int64_t height, int64_t width, int times);

}  // namespace finetune

#endif  // FINETUNE_MODEL_BACKBONE_H_
