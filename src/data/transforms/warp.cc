#include "src/data/transforms/warp.h"

#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>

namespace finetune {
namespace {

// Computes values of the source image at any position, also far outside the image. (x, y) are in
// pixels from the centre of the upper left pixel.
struct Source {
  const Image& image;
  const WarpFilling& filling;

  const float* At(double x, double y) const {
    if (!(x >= 0 && y >= 0 && x < image.shape.width && y < image.shape.height)) return nullptr;
    return image.values.data() +
           (static_cast<size_t>(y) * image.shape.width + static_cast<size_t>(x)) *
               image.shape.channels;
  }

  void Nearest(double x, double y, float* out) const {
    // nearbyint rounds halves to the even number.
    const float* pixel = At(std::nearbyint(x), std::nearbyint(y));
    for (int c = 0; c < image.shape.channels; ++c) {
      out[c] = pixel == nullptr ? filling.value : pixel[c];
    }
  }

  // At the image's edge this equals torchvision's result, which counts outside neighbours twice:
  // `sum` already lacks them, and then it is blended with the filling by the weight `inside` once
  // more.
  void Bilinear(double x, double y, float* out) const {
    const double left = std::floor(x), top = std::floor(y);
    const double right_part = x - left, lower_part = y - top;
    const std::array<const float*, 4> pixels = {At(left, top), At(left + 1, top), At(left, top + 1),
                                                At(left + 1, top + 1)};
    const std::array<double, 4> weights = {(1 - right_part) * (1 - lower_part),
                                           right_part * (1 - lower_part),
                                           (1 - right_part) * lower_part, right_part * lower_part};
    double inside = 0;
    for (int k = 0; k < 4; ++k) inside += pixels[k] != nullptr ? weights[k] : 0;
    for (int c = 0; c < image.shape.channels; ++c) {
      double sum = 0;
      for (int k = 0; k < 4; ++k) sum += pixels[k] != nullptr ? weights[k] * pixels[k][c] : 0;
      out[c] = static_cast<float>((sum - filling.value) * inside + filling.value);
    }
  }
};

}  // namespace

Warp RotationBy(double degrees) {
  const double radians = degrees * std::numbers::pi / 180;
  const double cosine = std::cos(radians), sine = std::sin(radians);
  return {cosine, -sine, 0, sine, cosine, 0};
}

void ApplyWarp(const Warp& warp, const WarpFilling& filling, Image* image) {
  const auto [channels, height, width] = image->shape;
  image->next.resize(image->values.size());
  const Source source = {*image, filling};
  const double middle_x = (width - 1) / 2.0, middle_y = (height - 1) / 2.0;
  float* out = image->next.data();
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x, out += channels) {
      const double at_x = x - middle_x, at_y = y - middle_y;
      const double from_x = warp[0] * at_x + warp[1] * at_y + warp[2] + middle_x;
      const double from_y = warp[3] * at_x + warp[4] * at_y + warp[5] + middle_y;
      if (filling.bilinear) {
        source.Bilinear(from_x, from_y, out);
      } else {
        source.Nearest(from_x, from_y, out);
      }
    }
  }
  std::swap(image->values, image->next);
}

}  // namespace finetune
