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

// The layers that networks are made of. All tensors are float32. A layer holds handles of its
// tensors: a copy of a layer shares them, and set_data() on a parameter of the model also changes
// the layer.

struct Linear {
  at::Tensor weight;     // [out, in]
  at::Tensor bias = {};  // [out]; undefined for none
};

struct Conv {
  at::Tensor weight;     // [out, in / groups, k, k], channels-last
  at::Tensor bias = {};  // [out]; undefined for none
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t groups = 1;  // equal to `in`: a depthwise convolution
  // Pads as TensorFlow's SAME does, instead of by `padding` (which must be 0). A side of n pixels
  // gets as many zeros as it needs for ceil(n / stride) results. Where this number is odd, the end
  // of the side gets one more zero than its beginning.
  bool same = false;
};

struct BatchNorm {
  at::Tensor gamma, beta, running_mean, running_var;  // [out]
  at::Tensor num_batches_tracked;                     // [] int64
  BatchNormSettings settings = {};
};

// A convolution whose weight has the layout of the kernel that runs it. It computes in the type of
// `bias`.
struct PackedConv {
  // A plain tensor, [out, in / groups, k, k], is for LibTorch's kernels.
  std::variant<at::Tensor, WinogradWeight, PointwiseWeight, OneDnnWeight, DepthwiseWeight> weight;
  at::Tensor bias;  // [out]
};

// A convolution, usually without bias, and the batch norm that follows it. Where the layer is not
// trained, the batch norm is folded into the convolution.
struct ConvBn {
  Conv conv;
  BatchNorm norm;
  // The folded convolution. It is made when it is first needed, and empty before and after the
  // layer's tensors change. All copies of the layer share it.
  std::shared_ptr<std::optional<PackedConv>> folded = std::make_shared<std::optional<PackedConv>>();
};

// A convolution without bias and without a batch norm behind it.
struct BareConv {
  Conv conv;
  // The convolution as the kernels take it. As ConvBn::folded, it is made when it is first needed
  // and empty after the weight changes.
  std::shared_ptr<std::optional<PackedConv>> packed = std::make_shared<std::optional<PackedConv>>();
};

// Layer norm (Ba et al. 2016) over the last dimension.
struct LayerNorm {
  at::Tensor gamma, beta;  // [C]
  double epsilon = 1e-6;
};

// Global response normalisation (Woo et al. 2023).
struct GlobalResponseNorm {
  at::Tensor gamma, beta;  // [C]
  double epsilon = 1e-6;
};

struct SqueezeExciteLayer {
  SqueezeExciteWeights weights;
  Activation activation = Activation::kRelu;  // between the two convolutions
  Gate gate = Gate::kSigmoid;
};

// Settings that all layers of a model share.
struct ForwardMode {
  // Whether convolutions compute in bfloat16. Parameters, statistics, head and logits stay float32.
  bool bfloat16 = false;
  // True (engine FUSED): folded batch norms and fused operators. False (engine PLAIN): LibTorch's
  // operators, one by one.
  bool fused = true;
  // If set, batch norms that use the batch's statistics take them over all ranks' images.
  SumOverRanks sum_over_ranks;
};

// How the layers of one stage run in one forward pass.
struct StagePass {
  const ForwardMode& mode;
  // True: records a graph for backward where gradients are enabled. False: uses the running
  // statistics and records no graph, as frozen layers do always and all layers do in evaluation.
  bool trained;
  // Whether the batch norms of a trained stage use the statistics of the batch; false with
  // norm_eval.
  bool batch_statistics;
  // The iteration, image indices and seed that random draws depend on.
  ForwardContext context = {};
  uint64_t seed = 0;
};

// Returns activation(batch_norm(conv(x)) + residual), [N, out, H', W'] channels-last.
//
// x: [N, in, H, W] channels-last. `residual`: in the shape of the result, or undefined for none.
// Where pass.trained, x is converted to the type to compute in. Otherwise the result has the type
// of the computation (see ConvType()), `residual` must have this type, and the call may overwrite
// `residual` and return its memory as the result.
//
// Throws c10::Error where a batch norm without statistics over ranks has only one value a channel,
// which has no variance.
at::Tensor ConvBnAct(const at::Tensor& x, const ConvBn& layer, const at::Tensor& residual,
                     Activation activation, const StagePass& pass);

// Returns max_pool(relu(batch_norm(conv(x)))) with windows of 3x3, a stride of 2 and a padding of
// 1: the end of a ResNet's stem. See ConvBnAct().
at::Tensor ConvBnReluPool(const at::Tensor& x, const ConvBn& layer, const StagePass& pass);

// The three functions below are the layers of networks whose batch norms come before their
// convolutions. x and the maps are [N, C, H, W] channels-last, in the type of ToStoredType(), which
// is also the type of the result. They throw as ConvBnAct() does.

// Returns relu(batch_norm(x)).
at::Tensor BatchNormRelu(const at::Tensor& x, const BatchNorm& norm, const StagePass& pass);

// Returns conv(x), [N, out, H', W'].
at::Tensor RunBareConv(const at::Tensor& x, const BareConv& layer, const StagePass& pass);

// Returns ConvBnAct(BatchNormRelu(cat(maps, 1), norm), layer) with ReLU. `layer`: a 1x1 convolution
// with a stride of 1. maps: one or more, [N, C_i, H, W]. For training on a CPU with fused operators
// only the maps and the result are kept; see DenseConv().
at::Tensor DenseConvBnRelu(at::TensorList maps, const BatchNorm& norm, const ConvBn& layer,
                           const StagePass& pass);

// Returns x in the type that the layers below compute and store in: bfloat16 or float32 by
// pass.mode where pass.trained, otherwise ConvType(x).
at::Tensor ToStoredType(const at::Tensor& x, const StagePass& pass);

// The functions below are differentiable by autograd. Results have x's type. Weights are rounded to
// this type, sums are float32.

// Returns conv(x) + bias, [N, out, H', W'] channels-last. x: [N, in, H, W] channels-last.
at::Tensor ConvWithBias(const at::Tensor& x, const Conv& conv, const StagePass& pass);

// Returns x W^T + bias over the last dimension of x, [..., in]: [..., out].
at::Tensor ApplyLinear(const at::Tensor& x, const Linear& linear);

// Returns project(gelu(expand(x))) over the last dimension of x, [..., in]: [..., out]. The GELU is
// the exact one, by erf.
at::Tensor ApplyGeluMlp(const at::Tensor& x, const Linear& expand, const Linear& project,
                        const StagePass& pass);

// Returns x normalised over its last dimension: (x - mean) / sqrt(var + epsilon) * gamma + beta.
// x: [..., C]. Mean and variance are computed in float32.
at::Tensor ApplyLayerNorm(const at::Tensor& x, const LayerNorm& norm);

// Returns x + gamma * x * n + beta, where n is the norm of each channel of an image over the
// image's pixels, divided by (the mean of these norms over the channels + epsilon). x: [N, H, W,
// C].
at::Tensor ApplyGlobalResponseNorm(const at::Tensor& x, const GlobalResponseNorm& norm);

// Returns x after squeeze-and-excitation (see SqueezeExcite()), in x's type and shape. x: [N, C, H,
// W], channels-last. The two convolutions compute in float32.
at::Tensor SqueezeAndExcite(const at::Tensor& x, const SqueezeExciteLayer& layer,
                            const StagePass& pass);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LAYERS_H_
