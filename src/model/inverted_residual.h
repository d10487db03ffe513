#ifndef FINETUNE_MODEL_INVERTED_RESIDUAL_H_
#define FINETUNE_MODEL_INVERTED_RESIDUAL_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "src/model/builder.h"
#include "src/model/layers.h"

namespace finetune {

// The block that MobileNetV2 (Sandler et al. 2018) and the networks after it are made of. A 1x1
// convolution expands the channels, a depthwise one filters each of them, and another 1x1
// convolution projects them to fewer. An activation follows the first two. In some networks
// squeeze-and-excitation stands before the projection. A block whose result has the shape of its
// input adds the input.
struct InvertedResidual {
  std::optional<ConvBn> expand;  // without, where the depthwise one takes the input's channels
  ConvBn depthwise, project;
  std::optional<SqueezeExciteLayer> squeeze;
  Activation activation = Activation::kRelu6;
  bool adds_input;
  // The chance that training leaves out an image's branch; with it, the block's index in the
  // network (DropPath()). Only a block that adds its input reads them.
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
  int64_t in, width, out;  // channels; width: of the depthwise convolution
  int64_t kernel = 3;
  int64_t stride = 1;
  bool same = false;  // see Conv; without, padding of half a kernel
  BatchNormSettings norm = {};
  Activation activation = Activation::kRelu6;
  int64_t squeezed = 0;  // channels between the layers of squeeze-and-excitation; 0: without it
  // Squeeze-and-excitation's own functions.
  Activation squeeze_activation = Activation::kRelu;
  Gate gate = Gate::kSigmoid;
};

// `others`: the names that other packages' checkpoints have for the layers.
InvertedResidual MakeInvertedResidual(const InvertedResidualNames& names,
                                      std::initializer_list<InvertedResidualNames> others,
                                      const InvertedResidualShape& shape, LayerBuilder* make);

// mmpretrain's names of a convolution and its batch norm.
ConvBnNames MmpretrainConvBn(const std::string& name);
// torchvision's, whose convolution is layer `conv` of a sequence.
ConvBnNames TorchvisionConvBn(const std::string& name, int conv = 0);

// timm's names for block `index` of a stage, both from 0; they are the same in all its networks of
// such blocks.
InvertedResidualNames TimmNames(int stage, int index, bool expands);
// Those of the first convolution and of the last one.
inline ConvBnNames TimmStemNames() { return {"conv_stem", "bn1"}; }
inline ConvBnNames TimmLastNames() { return {"conv_head", "bn2"}; }

// mmpretrain's names in a block of this name, in its networks after MobileNetV2.
InvertedResidualNames MmpretrainNames(const std::string& block);
// torchvision's in a block of this name ("features.4.block"), in its networks after MobileNetV2.
InvertedResidualNames TorchvisionNames(const std::string& block, bool expands, bool squeezes);

// x: [N, in, H, W]. Returns [N, out, H', W'], whose sides are those of x divided by the stride and
// rounded up.
at::Tensor RunInvertedResidual(const at::Tensor& x, const InvertedResidual& block,
                               const StagePass& pass);

// The layers of a network of such blocks: a stem, stages of blocks, and a convolution behind the
// last block. `activation` follows both convolutions.
struct InvertedResidualLayers {
  Activation activation = Activation::kRelu6;
  ConvBn stem = {}, last = {};
  std::vector<std::vector<InvertedResidual>> stages;  // stages[0] is stage 1

  // Runs a stage as Backbone::RunStage() does. Stage 0 is the stem; `last` belongs to the last one.
  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) const;
};

// `channels` times `factor`, to the nearest multiple of 8 that is not more than a tenth below: how
// these networks are made wider and narrower.
int64_t ScaledWidth(int64_t channels, double factor);

}  // namespace finetune

#endif  // FINETUNE_MODEL_INVERTED_RESIDUAL_H_
