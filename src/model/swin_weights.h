#ifndef FINETUNE_MODEL_SWIN_WEIGHTS_H_
#define FINETUNE_MODEL_SWIN_WEIGHTS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace finetune {

// The forms in which packages keep the weights of a Swin transformer. finetune has mmpretrain's.

// The largest side of a window, in patches. A window's attention has side^4 numbers for each head.
inline constexpr int64_t kMostWindow = 64;

// Returns the side of the windows whose relative position biases are `table`: a tensor
// [(2 * side - 1)^2, heads] of floating-point type. Returns 0 for any other tensor, and for windows
// of more than kMostWindow patches on a side.
int64_t WindowOfBiasTable(const at::Tensor& table);

// Returns the entry of the table for each pair of patches of a window: [heads, T, T], where T =
// side^2, from table [(2 * side - 1)^2, heads]. Element [h, i, j] is for query i and key j; patches
// are counted row by row. Differentiable by autograd.
at::Tensor BiasOfPairs(const at::Tensor& table, int64_t side);

// Returns the number of the table's row for each pair of patches of a window, [T, T] int64: the
// buffer "relative_position_index" of other packages.
at::Tensor RelativePositionIndex(int64_t side);

// Returns the table for windows of another side, [(2 * side - 1)^2, heads] float32, interpolated
// bicubically as the authors' program does. WindowOfBiasTable(table) must not be 0.
at::Tensor ResampleBiasTable(const at::Tensor& table, int64_t side);

// Patch merging joins the C channels of 2x2 patches to 4 * C. Channel c of the patch in row y and
// column x, each 0 or 1, has the place 4 * c + 2 * y + x in mmpretrain and here (nn.Unfold's
// order), and (2 * x + y) * C + c in the authors' program, torchvision and timm.

// Returns `merging` in mmpretrain's order. `merging`: a tensor whose last dimension is 4 * C, in
// the order of the other packages, such as the weight of patch merging's norm or linear layer.
at::Tensor ToUnfoldOrder(const at::Tensor& merging);

// Returns the inverse of ToUnfoldOrder().
at::Tensor FromUnfoldOrder(const at::Tensor& merging);

}  // namespace finetune

#endif  // FINETUNE_MODEL_SWIN_WEIGHTS_H_
