#ifndef FINETUNE_DATA_TRANSFORMS_WARP_H_
#define FINETUNE_DATA_TRANSFORMS_WARP_H_

#include <array>

#include "src/data/transforms/transform.h"

namespace finetune {

// An affine map m from positions in the result to positions in the source image: the result's pixel
// (x, y) is the source at (m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5]). Both positions are in
// pixels from the image's centre; x points right and y down.
using Warp = std::array<double, 6>;

// Returns the map that turns an image counter-clockwise by `degrees`.
Warp RotationBy(double degrees);

// How values are computed for positions between pixels and outside the image.
struct WarpFilling {
  // True: interpolate bilinearly between pixels. False: take the nearest pixel.
  bool bilinear = false;
  // The value for positions outside the image, 0 to 255.
  float value = 0;
};

// Warps `image` as torchvision's affine() and rotate() do. Its size stays.
void ApplyWarp(const Warp& warp, const WarpFilling& filling, Image* image);

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_WARP_H_
