#ifndef FINETUNE_MODEL_LAYERS_H_
#define FINETUNE_MODEL_LAYERS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>

#include "src/model/forward_context.h"
#include "src/ops/activation.h"
#include "src/ops/batch_norm.h"
#include "src/ops/depthwise.h"
#include "src/ops/onednn_conv.h"
#include "src/ops/pointwise.h"
#include "src/ops/squeeze_excite.h"
#include "src/ops/winograd.h"

namespace finetune {

// The layers that networks are made of. Each is a handle: a copy shares the tensors, and set_data()
// on a parameter moves the layer's own. All tensors are float32.

struct Linear {
  at::Tensor weight, bias;  // [out, in], [out]
};

struct Conv {
  at::Tensor weight;     // [out, in / groups, k, k], channels-last
  at::Tensor bias = {};  // [out]; undefined for none
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t groups = 1;  // as many as channels: a depthwise convolution
  // In place of `padding`, which is 0: so many zeros, by the size of the input, that a side has a
  // result for every step of the stride it begins; where their number is odd, the end gets one more
  // than the beginning. TensorFlow's SAME.
  bool same = false;
};

struct BatchNorm {
  at::Tensor gamma, beta, running_mean, running_var;  // [out]
  at::Tensor num_batches_tracked;                     // [] int64
  BatchNormSettings settings = {};
};

// A convolution as the kernel that runs it reads its weight. It computes in the type of `bias`.
struct PackedConv {
  // A plain tensor [out, in, k, k] is for LibTorch's kernels.
  std::variant<at::Tensor, WinogradWeight, PointwiseWeight, OneDnnWeight, DepthwiseWeight> weight;
  at::Tensor bias;  // [out]
};

// A convolution without bias and the batch norm behind it. Where the layer is not trained, the
// batch norm is folded into the convolution.
struct ConvBn {
  Conv conv;
  BatchNorm norm;
  // The folded convolution. It is made when it is needed, and empty after the tensors have changed.
  std::shared_ptr<std::optional<PackedConv>> folded = std::make_shared<std::optional<PackedConv>>();
};

struct SqueezeExciteLayer {
  SqueezeExciteWeights weights;
  Activation activation = Activation::kRelu;  // between the two convolutions
  Gate gate = Gate::kSigmoid;
};

// Settings that all layers of a model share.
struct ForwardMode {
  // Convolutions in bfloat16; parameters, statistics, head and logits stay float32.
  bool bfloat16 = false;
  // Folded batch norms and fused operators. Without: LibTorch's operators one by one.
  bool fused = true;
  // Set: training batch norms take their statistics over all ranks' images.
  SumOverRanks sum_over_ranks;
};

// How the layers of one stage run in one forward pass.
struct StagePass {
  const ForwardMode& mode;
  // True: with a graph for backward. False: by running statistics and without a graph, as frozen
  // layers run, and all layers in evaluation.
  bool trained;
  // Whether trained batch norms take their statistics from the batch; false with norm_eval.
  bool batch_statistics;
  // The keys of random draws.
  ForwardContext context = {};
  uint64_t seed = 0;
};

// activation(batch_norm(conv(x)) + residual). Returns [N, out, H', W'] channels-last.
//
// x: [N, in, H, W] channels-last. `residual`: like the result, or undefined for none. Trained, x is
// converted to the type to compute in. Not trained, the result has the type that was computed in
// (see ConvType), `residual` must have it too, and the result may lie in the memory of `residual`:
// the caller is done with that tensor.
//
// Throws c10::Error where a batch has one value a channel, which has no variance.
at::Tensor ConvBnAct(const at::Tensor& x, const ConvBn& layer, const at::Tensor& residual,
                     Activation activation, const StagePass& pass);

// Squeeze-and-excitation of x [N, C, H, W], channels-last, in x's type. Its layers compute in
// float32.
at::Tensor SqueezeAndExcite(const at::Tensor& x, const SqueezeExciteLayer& layer,
                            const StagePass& pass);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LAYERS_H_
