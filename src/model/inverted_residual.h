#ifndef FINETUNE_MODEL_INVERTED_RESIDUAL_H_
#define FINETUNE_MODEL_INVERTED_RESIDUAL_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/model/builder.h"
#include "src/model/layers.h"

namespace finetune {

// The block that MobileNetV2 (Sandler et al. 2018) and the networks after it are made of. A 1x1
// convolution expands the channels, a depthwise one filters each of them, and another 1x1
// convolution projects them to fewer. An activation follows the first two. In some networks
// squeeze-and-excitation stands before the projection. A block whose result has the shape of its
// input adds the input.
struct InvertedResidual {
  std::optional<ConvBn> expand;  // none where the block does not expand
  ConvBn depthwise, project;
  std::optional<SqueezeExciteLayer> squeeze;
  Activation activation = Activation::kRelu6;
  bool adds_input;
  // The probability that training drops an image's branch (DropPath()), and the block's index in
  // the network. Only read where the block adds its input.
  float drop_path = 0;
  uint32_t index = 0;
};

// The names of a block's layers. Those of layers that a block does not have are not read.
struct InvertedResidualNames {
  ConvBnNames expand = {};
  ConvBnNames depthwise, project;
  SqueezeExciteNames squeeze = {};
};

struct InvertedResidualShape {
  int64_t in, width, out;  // channels of the input, the depthwise convolution and the result
  int64_t kernel = 3;
  int64_t stride = 1;
  bool same = false;  // see Conv::same; false: pads each side by kernel / 2
  BatchNormSettings norm = {};
  Activation activation = Activation::kRelu6;
  int64_t squeezed = 0;  // channels between the layers of squeeze-and-excitation; 0: without it
  // Squeeze-and-excitation's own functions.
  Activation squeeze_activation = Activation::kRelu;
  Gate gate = Gate::kSigmoid;
};

// Makes a block. `others`: for each of several packages, the names that its checkpoints have for
// the block's layers.
InvertedResidual MakeInvertedResidual(const InvertedResidualNames& names,
                                      std::initializer_list<InvertedResidualNames> others,
                                      const InvertedResidualShape& shape, LayerBuilder* make);

// mmpretrain's names of a convolution and its batch norm.
ConvBnNames MmpretrainConvBn(const std::string& name);
// torchvision's, whose convolution is layer `conv` of a sequence.
ConvBnNames TorchvisionConvBn(const std::string& name, int conv = 0);

// Returns timm's names for block `index` of stage `stage`, both counted from 0. timm uses them for
// all its networks of inverted residual blocks. `expands`: whether the block has the first
// convolution.
InvertedResidualNames TimmNames(int stage, int index, bool expands);
// Return timm's names of the network's first and last convolution.
inline ConvBnNames TimmStemNames() { return {"conv_stem", "bn1"}; }
inline ConvBnNames TimmLastNames() { return {"conv_head", "bn2"}; }

// Returns the error for a checkpoint with timm's names where the config does not say which of
// timm's two networks it is of: `package` ("efficientnet_b0") or the one with tf_ before that name.
// `field`: the setting that says so; `value`: its value for the first network. InvalidArgument.
absl::Status TimmOriginError(absl::string_view package, absl::string_view field,
                             absl::string_view value);

// mmpretrain's names in a block of this name, in its networks after MobileNetV2.
InvertedResidualNames MmpretrainNames(const std::string& block);
// torchvision's in a block of this name ("features.4.block"), in its networks after MobileNetV2.
InvertedResidualNames TorchvisionNames(const std::string& block, bool expands, bool squeezes);

// Runs a block. x: [N, in, H, W]. Returns [N, out, H', W'], where H' and W' are H and W divided by
// the stride and rounded up.
at::Tensor RunInvertedResidual(const at::Tensor& x, const InvertedResidual& block,
                               const StagePass& pass);

// The layers of a network of such blocks: a stem, stages of blocks, and a convolution behind the
// last block. `activation` follows both convolutions.
struct InvertedResidualLayers {
  Activation activation = Activation::kRelu6;
  ConvBn stem = {}, last = {};
  std::vector<std::vector<InvertedResidual>> stages;  // stages[0] is stage 1

  // Runs a stage as Backbone::RunStage() does. Stage 0 is the stem. The last stage ends with
  // `last`.
  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) const;
};

// Returns channels * factor, rounded to the nearest multiple of 8, or to the next higher one where
// rounding would lose more than a tenth; at least 8. The rule by which these networks are made
// wider or narrower.
int64_t ScaledWidth(int64_t channels, double factor);

}  // namespace finetune

#endif  // FINETUNE_MODEL_INVERTED_RESIDUAL_H_
