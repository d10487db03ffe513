#ifndef FINETUNE_MODEL_LAYERS_H_
#define FINETUNE_MODEL_LAYERS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <variant>

#include "src/ops/batch_norm.h"
#include "src/ops/onednn_conv.h"
#include "src/ops/pointwise.h"
#include "src/ops/winograd.h"

namespace finetune {

// A convolution with a batch norm folded into it, for inputs of bias's type, in the layout of the
// kernels that run it; a plain tensor [out, in, k, k] is LibTorch's.
struct FoldedConv {
  std::variant<at::Tensor, WinogradWeight, PointwiseWeight, OneDnnWeight> weight;
  at::Tensor bias;  // [out]
};

// A convolution without bias and the batch norm behind it; the unit that ResNets are made of. The
// tensors are handles: whoever calls set_data() on a parameter moves the layer's own.
struct ConvBn {
  // [out, in, k, k] float32, channels-last.
  at::Tensor weight;
  // Batch norm: scale, shift and running statistics, [out] float32 each; the count is one int64.
  at::Tensor gamma, beta, running_mean, running_var, num_batches_tracked;
  int64_t stride = 1;
  int64_t padding = 0;

  // Made when it is needed, dropped by Unfold().
  std::optional<FoldedConv> folded;
  void Unfold() { folded.reset(); }
};

// What all layers of one forward pass share.
struct ForwardMode {
  // Convolutions in bfloat16; parameters, statistics, head and logits stay float32.
  bool bfloat16 = false;
  // Folded batch norms and fused operators. Without: LibTorch's operators one by one.
  bool fused = true;
  // Set: training batch norms take their statistics over all ranks' pictures.
  SumOverRanks sum_over_ranks;
};

// The two functions below are where a ResNet's time goes, and the only ones that know of engines.

// y = act(batch_norm(convolution(x)) + residual), trained: with a graph for backward.
// `batch_statistics` is false for a batch norm kept in evaluation mode (norm_eval). x: [N, in, H,
// W] channels-last, in the type to compute in; `residual` is undefined for none.
at::Tensor TrainedConvBn(const at::Tensor& x, ConvBn& layer, const at::Tensor& residual, bool relu,
                         bool batch_statistics, const ForwardMode& mode);

// The same by running statistics and without a graph: frozen layers, and all of them in evaluation.
// The result may lie in `residual`'s memory: the caller is done with it. It is of the type that was
// computed in.
at::Tensor FrozenConvBn(const at::Tensor& input, ConvBn& layer, const at::Tensor& residual,
                        bool relu, const ForwardMode& mode);

}  // namespace finetune

#endif  // FINETUNE_MODEL_LAYERS_H_
