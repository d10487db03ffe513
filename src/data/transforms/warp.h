#ifndef FINETUNE_DATA_TRANSFORMS_WARP_H_
#define FINETUNE_DATA_TRANSFORMS_WARP_H_

#include <array>

#include "src/data/transforms/transform.h"

namespace finetune {

// An affine map m from a result's pixel to the source: result (x, y) is the image at (m[0] x + m[1]
// y + m[2], m[3] x + m[4] y + m[5]). Both positions are relative to the image's centre.
using Warp = std::array<double, 6>;

// Returns the map that turns the image counter-clockwise.
Warp RotationBy(double degrees);

// How values are computed for positions between pixels and outside the image.
struct WarpFilling {
  // True: interpolates bilinearly. False: takes the nearest pixel.
  bool bilinear = false;
  float value = 0;
};

// Applies a map as torchvision's affine and rotate do. The image keeps its size.
void ApplyWarp(const Warp& warp, const WarpFilling& filling, Image* image);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_WARP_H_
