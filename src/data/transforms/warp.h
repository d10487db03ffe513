#ifndef FINETUNE_DATA_TRANSFORMS_WARP_H_
#define FINETUNE_DATA_TRANSFORMS_WARP_H_

#include <array>

#include "src/data/transforms/transform.h"

namespace finetune {

// Where pixels come from: result (x, y) is the image at (m[0] x + m[1] y + m[2], m[3] x + m[4] y +
// m[5]), both from the image's middle.
using Warp = std::array<double, 6>;

// Counter-clockwise.
Warp RotationBy(double degrees);

// How pixels between pixels and outside of the image are made.
struct WarpFilling {
  // Else the nearest pixel.
  bool bilinear = false;
  float value = 0;
};

// Applies it as torchvision's affine and rotate do. The image keeps its size.
void ApplyWarp(const Warp& warp, const WarpFilling& filling, Image* image);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_WARP_H_
