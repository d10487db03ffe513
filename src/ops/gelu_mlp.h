#ifndef FINETUNE_OPS_GELU_MLP_H_
#define FINETUNE_OPS_GELU_MLP_H_

#include <ATen/core/Tensor.h>

namespace finetune {

// The weights of two linear layers with a GELU between them.
struct MlpWeights {
  at::Tensor expand, expand_bias;    // float32 [hidden, in], [hidden]
  at::Tensor project, project_bias;  // float32 [out, hidden], [out]
};

// Returns gelu(x expand^T + expand_bias) project^T + project_bias over the last dimension of x,
// [..., in], on the CPU: [..., out] in x's type, float32 or bfloat16. The GELU is the exact one, by
// erf. Differentiable by autograd; the gradients of the weights are float32.
at::Tensor GeluMlp(const at::Tensor& x, const MlpWeights& weights);

}  // namespace finetune

#endif  // FINETUNE_OPS_GELU_MLP_H_
