#ifndef FINETUNE_OPS_SQUEEZE_EXCITE_H_
#define FINETUNE_OPS_SQUEEZE_EXCITE_H_

#include <ATen/core/Tensor.h>

#include "src/ops/activation.h"

namespace finetune {

// The function that turns the result of the second layer into a channel's factor.
enum class Gate {
  kSigmoid,
  kHardSigmoid,  // min(max(x + 3, 0), 6) / 6
};

// The float32 weights of squeeze-and-excitation (Hu et al. 2018). It multiplies every channel of an
// image by a factor. Two small layers compute the factors from the means of the image's channels.
// C is the number of channels, S the number of channels between the layers.
struct SqueezeExciteWeights {
  at::Tensor reduce, reduce_bias;  // [S, C, 1, 1], [S]
  at::Tensor expand, expand_bias;  // [C, S, 1, 1], [C]
};

// Returns x * gate(expand(activation(reduce(means of x over its pixels)))), in x's type and shape,
// differentiable by autograd. x: [N, C, H, W] on the CPU, float32 or bfloat16. If x is not
// channels-last, it is copied. N may be 0. Everything from the means to the factors is float32.
// `activation`: kRelu or kSilu; throws c10::Error for any other. Forward and backward each make two
// passes over the feature maps. Autograd keeps x and a few numbers for each channel of an image.
// The result has the same bits on any number of threads.
at::Tensor SqueezeExcite(const at::Tensor& x, const SqueezeExciteWeights& weights,
                         Activation activation, Gate gate);

}  // namespace finetune

#endif  // FINETUNE_OPS_SQUEEZE_EXCITE_H_
