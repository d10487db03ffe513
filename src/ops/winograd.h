#ifndef FINETUNE_OPS_WINOGRAD_H_
#define FINETUNE_OPS_WINOGRAD_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/ops/vectors.h"

namespace finetune {

// 3x3 convolutions of stride 1 and padding 1 on the CPU by Winograd's minimal filtering
// (winograd_transforms.h). float32 uses F(4x4, 3x3), with a quarter of the definition's
// multiplications; bfloat16 uses F(2x2, 3x3), with 4 of 9. In bfloat16 the transformed factors are
// rounded once more, and sums are float32. So a bfloat16 result is 0.34 % from the exact one (norm
// of the error by norm of the result); rounding the exact one to bfloat16 alone gives 0.17 %.
//
// Feature maps are channels-last (others are copied), all of one type, float32 or bfloat16; weights
// are float32. None of these functions is differentiable by autograd. `vectors`: the instruction
// set to use.

// Returns whether the functions below can compute a convolution of this shape and are faster than
// LibTorch's, not counting the transform of the weight. x: [N, C, H, W]; weight: [K, C, k, k].
bool WinogradRuns(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding,
                  Vectors vectors = BestProductVectors());

// Returns the number of tiles that the result of a convolution of x is cut into: 4x4 pixels in
// float32, 2x2 in bfloat16.
int64_t WinogradTiles(const at::Tensor& x);

// A transformed weight, in the layout that WinogradConv() reads.
struct WinogradWeight {
  // int32 [K / kColumns, positions, C / kPerUnit * kColumns + 80]. A position is one of the 16 or
  // 36 elements of a transformed 3x3 kernel. A unit is one float32 or two bfloat16 values. The last
  // 80 elements of a position are padding that is never read. The head of winograd.cc says more.
  at::Tensor units;
};

// Transforms `weight` [K, C, 3, 3] for convolutions of maps of `type`.
WinogradWeight TransformWeight(const at::Tensor& weight, at::ScalarType type,
                               Vectors vectors = BestProductVectors());

// Returns conv(x) + bias + residual, [N, K, H, W] in x's type, or relu() of that where `relu` is
// true. x: [N, C, H, W]; bias: [K] float32; residual: [N, K, H, W]. Undefined bias or residual:
// none.
at::Tensor WinogradConv(const at::Tensor& x, const WinogradWeight& weight, const at::Tensor& bias,
                        const at::Tensor& residual, bool relu,
                        Vectors vectors = BestProductVectors());

// Return the gradients of the convolution's input, [N, C, H, W] in dy's type, and of its weight,
// [K, C, 3, 3] float32. Both are channels-last. dy: [N, K, H, W], the gradient of the result.
at::Tensor WinogradInputGradient(const at::Tensor& dy, const at::Tensor& weight,
                                 Vectors vectors = BestProductVectors());
at::Tensor WinogradWeightGradient(const at::Tensor& dy, const at::Tensor& x,
                                  Vectors vectors = BestProductVectors());

}  // namespace finetune

#endif  // FINETUNE_OPS_WINOGRAD_H_
