#ifndef FINETUNE_DATA_TRANSFORMS_GREY_H_
#define FINETUNE_DATA_TRANSFORMS_GREY_H_

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <array>

#include "src/data/transforms/transform.h"

namespace finetune {

// The weights of red, green and blue in a grey value, as in Pillow and OpenCV (ITU-R BT.601).
inline constexpr std::array<float, 3> kLuma = {0.299f, 0.587f, 0.114f};

// Returns the grey value of one pixel. `rgb`: [3].
inline float GreyOf(const float* rgb) {
  return kLuma[0] * rgb[0] + kLuma[1] * rgb[1] + kLuma[2] * rgb[2];
}

// Returns the grey values [n, height, width, 1] of `images`, [n, height, width, 3].
inline at::Tensor GreyOf(const at::Tensor& images) {
  const auto part = [&](int64_t c) { return images.narrow(kChannels, c, 1) * kLuma[c]; };
  return part(0) + part(1) + part(2);
}

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_GREY_H_
