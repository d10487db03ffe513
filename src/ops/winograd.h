#ifndef FINETUNE_OPS_WINOGRAD_H_
#define FINETUNE_OPS_WINOGRAD_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "src/ops/vectors.h"

namespace finetune {

// 3x3 convolutions of stride 1 and padding 1 on the CPU by Winograd's minimal filtering: in float32
// by F(4x4, 3x3), with a quarter of the definition's multiplications, in bfloat16 by F(2x2, 3x3),
// with 4 of 9 (winograd_transforms.h). In bfloat16 what is multiplied is rounded once more, sums
// are float32: the result is 0.34 % from the exact one, where its own rounding is 0.17 %.
//
// Feature maps are channels-last, or a copy is made, of one type, float32 or bfloat16; weights are
// float32. No gradients. `vectors` says which instructions to use.

// Whether the functions below take such a convolution, and are the faster way where its weight need
// not be transformed for it alone. x: [N, C, H, W]; weight: [K, C, k, k].
bool WinogradRuns(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding,
                  Vectors vectors = BestProductVectors());

// Returns the number of tiles that x is cut into.
int64_t WinogradTiles(const at::Tensor& x);

// A weight as WinogradConv multiplies it.
struct WinogradWeight {
  // int32 [K / panel, positions, C * panel / numbers a unit and a gap]: winograd.cc.
  at::Tensor units;
};

// Transforms `weight` [K, C, 3, 3] for maps of `type`.
WinogradWeight TransformWeight(const at::Tensor& weight, at::ScalarType type,
                               Vectors vectors = BestProductVectors());

// relu?(conv(x) + bias + residual): [N, K, H, W]. x: [N, C, H, W]; bias [K] float32 and residual
// [N, K, H, W] are undefined for none.
at::Tensor WinogradConv(const at::Tensor& x, const WinogradWeight& weight, const at::Tensor& bias,
                        const at::Tensor& residual, bool relu,
                        Vectors vectors = BestProductVectors());

// The gradients of such a convolution for that of its result, dy [N, K, H, W]: of its input [N, C,
// H, W], in dy's type, and of its weight [K, C, 3, 3], float32; both channels-last.
at::Tensor WinogradInputGradient(const at::Tensor& dy, const at::Tensor& weight,
                                 Vectors vectors = BestProductVectors());
at::Tensor WinogradWeightGradient(const at::Tensor& dy, const at::Tensor& x,
                                  Vectors vectors = BestProductVectors());

}  // namespace finetune

#endif  // FINETUNE_OPS_WINOGRAD_H_
