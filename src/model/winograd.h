#ifndef FINETUNE_MODEL_WINOGRAD_H_
#define FINETUNE_MODEL_WINOGRAD_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace finetune {

// 3x3 convolutions of stride 1 and padding 1 in float32 by Winograd's minimal filtering F(4x4, 3x3)
// (Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks"): 36 multiplications
// where the definition has 144. The points are 0, +-3/4, +-4/3 and infinity, with which the result
// is within 1.1e-6 of the exact one (norm of the error by norm of the result, 256 channels); the
// usual 0, +-1, +-2 and infinity: 2.1e-6, the definition summed in float32: 0.2e-6. Barabasz et al.
// 2020, "Error Analysis and Improving the Accuracy of Winograd Convolution", say why.

// Whether the functions below take such a convolution, and are the faster way where its weight need
// not be transformed for it alone. x: [N, C, H, W].
bool WinogradRuns(const at::Tensor& x, const at::Tensor& weight, int64_t stride, int64_t padding);

// The tiles of 4x4 that x is cut into.
int64_t WinogradTiles(const at::Tensor& x);

// `weight` [K, C, 3, 3] float32 transformed: [36, K, C], for WinogradConv.
at::Tensor TransformWeight(const at::Tensor& weight);

// relu?(conv(x) + bias + residual): [N, K, H, W] channels-last. x: [N, C, H, W], `transformed`:
// [36, K, C]; bias [K] and residual [N, K, H, W] are undefined for none. All float32 on the CPU;
// feature maps are channels-last, or a copy is made. No gradients.
at::Tensor WinogradConv(const at::Tensor& x, const at::Tensor& transformed, const at::Tensor& bias,
                        const at::Tensor& residual, bool relu);

// conv(x) with a weight [K, C, 3, 3] that is transformed for it a part at a time: less memory, and
// what is transformed stays in the cache.
at::Tensor WinogradConv(const at::Tensor& x, const at::Tensor& weight);

// The gradients of such a convolution for that of its result, dy [N, K, H, W]: of its input [N, C,
// H, W], and of its weight [K, C, 3, 3]; both channels-last.
at::Tensor WinogradInputGradient(const at::Tensor& dy, const at::Tensor& weight);
at::Tensor WinogradWeightGradient(const at::Tensor& dy, const at::Tensor& x);

}  // namespace finetune

#endif  // FINETUNE_MODEL_WINOGRAD_H_
