#ifndef FINETUNE_OPS_SQUEEZE_EXCITE_H_
#define FINETUNE_OPS_SQUEEZE_EXCITE_H_

#include <ATen/core/Tensor.h>

#include "src/ops/activation.h"

namespace finetune {

// The function that turns a channel's excitation into its factor.
enum class Gate {
  kSigmoid,
  kHardSigmoid,  // min(max(x + 3, 0), 6) / 6
};

// Squeeze-and-excitation (Hu et al. 2018): every channel of an image is multiplied by a factor that
// two small layers compute from the means of all channels of that image.
struct SqueezeExciteWeights {
  at::Tensor reduce, reduce_bias;  // [S, C, 1, 1], [S]
  at::Tensor expand, expand_bias;  // [C, S, 1, 1], [C]
};

// Returns x * gate(expand(activation(reduce(the means of x over its pixels)))), in x's type and
// shape, differentiable by autograd. x: [N, C, H, W] on the CPU, float32 or bfloat16, channels-last
// (else it is copied), N may be 0. The weights are float32, and so is everything between the means
// and the factors. `activation`: kRelu or kSilu. Forward and backward make two passes over maps
// each, and autograd keeps x and a few numbers for each channel of an image. The result has the
// same bits on any number of threads.
at::Tensor SqueezeExcite(const at::Tensor& x, const SqueezeExciteWeights& weights,
                         Activation activation, Gate gate);

}  // namespace finetune

#endif  // FINETUNE_OPS_SQUEEZE_EXCITE_H_
