#include "data_tools/resample.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "src/data/image_size.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb/stb_image_resize.h>
#pragma GCC diagnostic pop

namespace finetune {
namespace {

// Returns the square of side `size` in the centre of an image. Both sides of the image must be at
// least `size`.
DecodedImage Middle(const DecodedImage& image, int size) {
  DecodedImage square;
  square.height = square.width = size;
  const int top = (image.height - size) / 2, left = (image.width - size) / 2;
  for (int y = 0; y < size; ++y) {
    const auto row = image.pixels.begin() + (int64_t{y + top} * image.width + left) * 3;
    square.pixels.insert(square.pixels.end(), row, row + int64_t{size} * 3);
  }
  return square;
}

absl::StatusOr<DecodedImage> Scaled(const DecodedImage& image, int64_t height, int64_t width) {
  DecodedImage scaled;
  scaled.height = static_cast<int>(height);
  scaled.width = static_cast<int>(width);
  scaled.pixels.resize(size_t{3} * scaled.height * scaled.width);
  if (stbir_resize_uint8(image.pixels.data(), image.width, image.height, 0, scaled.pixels.data(),
                         scaled.width, scaled.height, 0, 3) == 0) {
    return absl::ResourceExhaustedError("no memory to scale an image");
  }
  return scaled;
}

}  // namespace

absl::StatusOr<DecodedImage> FitSquare(const DecodedImage& image, int size) {
  const int64_t shorter = std::min(image.height, image.width);
  const auto scale = [&](int64_t side) { return (2 * side * size + shorter) / (2 * shorter); };
  const int64_t height = scale(image.height), width = scale(image.width);
  if (height * width > kMaxPixels) {
    return absl::InvalidArgumentError(absl::StrCat(
        image.height, "x", image.width, " scaled to a shorter side of ", size, " would be ", height,
        "x", width, " (height x width); at most ", kMaxPixels, " pixels are made"));
  }
  if (shorter == size) return Middle(image, size);
  FT_ASSIGN_OR_RETURN(const DecodedImage scaled, Scaled(image, height, width));
  return Middle(scaled, size);
}

absl::StatusOr<DecodedImage> ScaleDown(const DecodedImage& image, int max_side) {
  const int64_t longer = std::max(image.height, image.width);
  const auto scale = [&](int64_t side) {
    return std::max<int64_t>(1, (2 * side * max_side + longer) / (2 * longer));
  };
  return Scaled(image, scale(image.height), scale(image.width));
}

}  // namespace finetune
