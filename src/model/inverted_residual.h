#ifndef FINETUNE_MODEL_INVERTED_RESIDUAL_H_
#define FINETUNE_MODEL_INVERTED_RESIDUAL_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <vector>

#include "src/model/builder.h"
#include "src/model/layers.h"

namespace finetune {

// The block of MobileNetV2 (Sandler et al. 2018) and of the networks after it. A 1x1 convolution
// expands the channels, a depthwise convolution filters each of them, and another 1x1 convolution
// projects them to fewer. ReLU6 follows the first two. A block whose result has the shape of its
// input adds the input to the result.
struct InvertedResidual {
  std::optional<ConvBn> expand;  // none where the block does not expand
  ConvBn depthwise, project;
  bool adds_input;
  // The probability that training drops an image's branch (DropPath()), and the block's index in
  // the network. Only read where the block adds its input.
  float drop_path = 0;
  uint32_t index = 0;
};

struct InvertedResidualNames {
  ConvBnNames expand = {};  // not read where the block does not expand
  ConvBnNames depthwise, project;
};

struct InvertedResidualShape {
  int64_t in, width, out;  // channels of the input, the depthwise convolution and the result
  int64_t kernel = 3;
  int64_t stride = 1;
  bool same = false;  // see Conv::same; false: pads each side by kernel / 2
  BatchNormSettings norm = {};
};

// Makes a block. `others`: for each of several packages, the names that its checkpoints have for
// the block's layers.
InvertedResidual MakeInvertedResidual(const InvertedResidualNames& names,
                                      std::initializer_list<InvertedResidualNames> others,
                                      const InvertedResidualShape& shape, LayerBuilder* make);

// Returns timm's names for block `index` of stage `stage`, both counted from 0. timm uses them for
// all its networks of inverted residual blocks. `expands`: whether the block has the first
// convolution.
InvertedResidualNames TimmNames(int stage, int index, bool expands);
// Return timm's names of the network's first and last convolution.
inline ConvBnNames TimmStemNames() { return {"conv_stem", "bn1"}; }
inline ConvBnNames TimmLastNames() { return {"conv_head", "bn2"}; }

// Runs a block. x: [N, in, H, W]. Returns [N, out, H', W'], where H' and W' are H and W divided by
// the stride and rounded up.
at::Tensor RunInvertedResidual(const at::Tensor& x, const InvertedResidual& block,
                               const StagePass& pass);

// The layers of a network of inverted residual blocks: a stem, stages of blocks, and a convolution
// after the last block. ReLU6 follows stem and last convolution.
struct InvertedResidualLayers {
  ConvBn stem, last;
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
