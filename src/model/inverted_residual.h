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

// The block of MobileNetV2 (Sandler et al. 2018), MobileNetV3 and EfficientNet. A 1x1 convolution
// expands the channels, a depthwise convolution filters each channel, and another 1x1 convolution
// projects them to fewer channels. An activation follows the first two convolutions. Some networks
// have squeeze-and-excitation before the projection. A block whose result has the shape of its
// input adds the input to its result.
//
// The fused block of EfficientNetV2 has one full convolution in place of the first two. Without
// expansion it is this convolution and its activation alone.
struct InvertedResidual {
  // The expanding or, in a fused block, the full convolution. nullopt in a block that is not fused
  // and does not expand the channels.
  std::optional<ConvBn> expand;
  std::optional<ConvBn> depthwise;  // nullopt in a fused block
  std::optional<ConvBn> project;    // nullopt in a fused block that does not expand the channels
  std::optional<SqueezeExciteLayer> squeeze;
  Activation activation = Activation::kRelu6;
  bool adds_input;
  // The probability that training drops an image's branch, which leaves only the input (see
  // DropPath()), and the block's index in the network, which tells the blocks' random draws apart.
  // Only read if `adds_input` is true.
  float drop_path = 0;
  uint32_t index = 0;
};

// The names of a block's layers. The name of a layer that the block does not have is not read.
struct InvertedResidualNames {
  ConvBnNames expand = {};
  ConvBnNames depthwise = {};
  ConvBnNames project = {};
  SqueezeExciteNames squeeze = {};
};

struct InvertedResidualShape {
  int64_t in, width, out;  // channels of the input, the depthwise convolution and the result
  int64_t kernel = 3;
  int64_t stride = 1;
  bool same = false;  // see Conv::same; false: pads each side by kernel / 2
  BatchNormSettings norm = {};
  Activation activation = Activation::kRelu6;
  // The channels between the two layers of squeeze-and-excitation. 0: no squeeze-and-excitation.
  int64_t squeezed = 0;
  // The functions of squeeze-and-excitation: between its layers, and after them.
  Activation squeeze_activation = Activation::kRelu;
  Gate gate = Gate::kSigmoid;
};

// Makes a block. `others`: the names of the block's layers in the checkpoints of other packages,
// one element for each package.
InvertedResidual MakeInvertedResidual(const InvertedResidualNames& names,
                                      std::initializer_list<InvertedResidualNames> others,
                                      const InvertedResidualShape& shape, LayerBuilder* make);

// Makes a fused block without squeeze-and-excitation. Reads the names `expand` and `project`.
// `shape.width`: the channels of the full convolution; shape.in for a block without expansion.
InvertedResidual MakeFusedInvertedResidual(const InvertedResidualNames& names,
                                           std::initializer_list<InvertedResidualNames> others,
                                           const InvertedResidualShape& shape, LayerBuilder* make);

// Returns mmpretrain's names for a convolution and its batch norm, in the module `name`.
ConvBnNames MmpretrainConvBn(const std::string& name);
// Returns torchvision's names for a convolution and its batch norm: layers `conv` and `conv` + 1 of
// the sequence `name`.
ConvBnNames TorchvisionConvBn(const std::string& name, int conv = 0);

// Returns timm's names for block `index` of stage `stage`, both counted from 0. timm uses them for
// all its networks of inverted residual blocks. `expands`: whether the block has the expanding
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

// Returns mmpretrain's names for the layers of `block`, in MobileNetV3 and EfficientNet.
InvertedResidualNames MmpretrainNames(const std::string& block);
// Returns torchvision's names for the layers of `block` ("features.4.block"), in MobileNetV3 and
// EfficientNet. `expands`, `squeezes`: whether the block has the expanding convolution and
// squeeze-and-excitation.
InvertedResidualNames TorchvisionNames(const std::string& block, bool expands, bool squeezes);

// Runs a block. x: [N, in, H, W]. Returns [N, out, H', W'], where H' and W' are H and W divided by
// the stride and rounded up.
at::Tensor RunInvertedResidual(const at::Tensor& x, const InvertedResidual& block,
                               const StagePass& pass);

// The layers of a network of inverted residual blocks: a stem convolution, stages of blocks, and a
// last 1x1 convolution after the last block. `activation` follows the stem and the last
// convolution.
struct InvertedResidualLayers {
  Activation activation = Activation::kRelu6;
  ConvBn stem = {}, last = {};
  std::vector<std::vector<InvertedResidual>> stages;  // stages[0] is stage 1

  // Runs a stage as Backbone::RunStage() does. Stage 0 is the stem. The last stage ends with
  // `last`.
  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) const;
};

}  // namespace finetune

#endif  // FINETUNE_MODEL_INVERTED_RESIDUAL_H_
