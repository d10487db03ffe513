#include "src/data/transforms/augment_operations.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "src/data/transforms/color.h"

namespace finetune {
namespace {

float Cut(float value) { return std::clamp(value, 0.0f, 255.0f); }

// Rounds a value to the nearest number of 0 to 255.
int Byte(float value) { return std::clamp(static_cast<int>(std::lrint(value)), 0, 255); }

// Blends each pixel with a blurred one, by `factor` as in color.h. The blurred pixel is the
// weighted mean of the pixel (weight 5) and its eight neighbours (weight 1 each). Pixels at the
// edge stay.
void Sharpen(float factor, Image* image) {
  const auto [c, height, width] = image->shape;
  image->next = image->values;
  const auto n = static_cast<ptrdiff_t>(width) * c;
  for (int y = 1; y + 1 < height; ++y) {
    for (ptrdiff_t i = y * n + c; i < (y + 1) * n - c; ++i) {
      const float* at = image->values.data() + i;
      const float around =
          at[-n - c] + at[-n] + at[-n + c] + at[-c] + at[c] + at[n - c] + at[n] + at[n + c];
      const float blurred = (around + 5 * at[0]) / 13;
      image->next[i] = at[0] + (1 - factor) * (blurred - at[0]);
    }
  }
  for (float& value : image->next) value = Cut(value);
  std::swap(image->values, image->next);
}

void AutoContrast(Image* image) {
  const int c = image->shape.channels;
  for (int k = 0; k < c; ++k) {
    float low = 255, high = 0;
    for (size_t i = k; i < image->values.size(); i += c) {
      low = std::min(low, image->values[i]);
      high = std::max(high, image->values[i]);
    }
    if (low >= high) continue;
    const float scale = 255 / (high - low);
    for (size_t i = k; i < image->values.size(); i += c) {
      image->values[i] = Cut((image->values[i] - low) * scale);
    }
  }
}

// Equalizes the histogram of each channel as Pillow does: a value is replaced by (n + step / 2) /
// step, where n is the number of pixels with a smaller value. `step` is the number of pixels that
// do not have the channel's largest value, divided by 255.
void Equalize(Image* image) {
  const int c = image->shape.channels;
  const int64_t pixels = static_cast<int64_t>(image->values.size()) / c;
  for (int k = 0; k < c; ++k) {
    std::array<int64_t, 256> histogram = {};
    for (size_t i = k; i < image->values.size(); i += c) ++histogram[Byte(image->values[i])];
    int brightest = 255;
    while (histogram[brightest] == 0) --brightest;
    const int64_t step = (pixels - histogram[brightest]) / 255;
    std::array<float, 256> table;
    int64_t below = step / 2;
    for (int value = 0; value < 256; ++value) {
      table[value] = step == 0 ? static_cast<float>(value)
                               : static_cast<float>(std::min<int64_t>(below / step, 255));
      below += histogram[value];
    }
    for (size_t i = k; i < image->values.size(); i += c) {
      image->values[i] = table[Byte(image->values[i])];
    }
  }
}

}  // namespace

AugmentRanges RangesOfRandAugment(const ImageShape& image) {
  // The paper translates images of 331x331 by up to 150 pixels. Other sizes get the same share of
  // the side.
  return {.shear = 0.3,
          .translate_x = 150.0 / 331 * image.width,
          .translate_y = 150.0 / 331 * image.height,
          .rotate = 30,
          .factor = 0.9,
          .bits = 4};
}

bool HasSign(AugmentOperation operation) {
  switch (operation) {
    case AugmentOperation::kShearX:
    case AugmentOperation::kShearY:
    case AugmentOperation::kTranslateX:
    case AugmentOperation::kTranslateY:
    case AugmentOperation::kRotate:
    case AugmentOperation::kBrightness:
    case AugmentOperation::kColor:
    case AugmentOperation::kContrast:
    case AugmentOperation::kSharpness:
      return true;
    case AugmentOperation::kIdentity:
    case AugmentOperation::kPosterize:
    case AugmentOperation::kSolarize:
    case AugmentOperation::kAutoContrast:
    case AugmentOperation::kEqualize:
    case AugmentOperation::kInvert:
      return false;
  }
  return false;
}

double MagnitudeAt(AugmentOperation operation, const AugmentRanges& ranges, double part) {
  switch (operation) {
    case AugmentOperation::kShearX:
    case AugmentOperation::kShearY:
      return ranges.shear * part;
    case AugmentOperation::kTranslateX:
      return std::trunc(ranges.translate_x * part);
    case AugmentOperation::kTranslateY:
      return std::trunc(ranges.translate_y * part);
    case AugmentOperation::kRotate:
      return ranges.rotate * part;
    case AugmentOperation::kBrightness:
    case AugmentOperation::kColor:
    case AugmentOperation::kContrast:
    case AugmentOperation::kSharpness:
      return ranges.factor * part;
    case AugmentOperation::kPosterize:
      return 8 - std::nearbyint(ranges.bits * part);
    case AugmentOperation::kSolarize:
      return 1 - part;
    case AugmentOperation::kIdentity:
    case AugmentOperation::kAutoContrast:
    case AugmentOperation::kEqualize:
    case AugmentOperation::kInvert:
      return 0;
  }
  return 0;
}

void WriteAugment(AugmentOperation operation, double magnitude, int64_t* draws) {
  draws[0] = static_cast<int64_t>(operation);
  draws[1] = std::bit_cast<int64_t>(magnitude);
}

void DrawAugment(const AugmentRanges& ranges, int bin, RandomStream* random, int64_t* draws) {
  const auto operation = static_cast<AugmentOperation>(random->Below(kAugmentOperations));
  double magnitude = MagnitudeAt(operation, ranges, static_cast<double>(bin) / kAugmentBins);
  if (HasSign(operation) && random->Below(2) == 0) magnitude = -magnitude;
  WriteAugment(operation, magnitude, draws);
}

void ApplyAugment(const int64_t* draws, const WarpFilling& filling, Image* image) {
  const auto magnitude = std::bit_cast<double>(draws[1]);
  const auto factor = static_cast<float>(1 + magnitude);
  const auto [channels, height, width] = image->shape;
  const size_t pixels = size_t{1} * height * width;
  float* const values = image->values.data();
  switch (static_cast<AugmentOperation>(draws[0])) {
    case AugmentOperation::kIdentity:
      return;
    // A shear leaves the image's upper left corner where it is.
    case AugmentOperation::kShearX:
      return ApplyWarp({1, magnitude, magnitude * height / 2, 0, 1, 0}, filling, image);
    case AugmentOperation::kShearY:
      return ApplyWarp({1, 0, 0, magnitude, 1, magnitude * width / 2}, filling, image);
    case AugmentOperation::kTranslateX:
      return ApplyWarp({1, 0, -magnitude, 0, 1, 0}, filling, image);
    case AugmentOperation::kTranslateY:
      return ApplyWarp({1, 0, 0, 0, 1, -magnitude}, filling, image);
    case AugmentOperation::kRotate:
      return ApplyWarp(RotationBy(magnitude), filling, image);
    case AugmentOperation::kBrightness:
      return AdjustBrightness(factor, pixels, channels, values);
    case AugmentOperation::kColor:
      if (channels == 3) AdjustSaturation(factor, pixels, values);
      return;
    case AugmentOperation::kContrast:
      return AdjustContrast(factor, pixels, channels, values);
    case AugmentOperation::kSharpness:
      return Sharpen(factor, image);
    case AugmentOperation::kPosterize: {
      const int mask = 256 - (1 << (8 - static_cast<int>(magnitude)));
      for (float& value : image->values) value = static_cast<float>(Byte(value) & mask);
      return;
    }
    case AugmentOperation::kSolarize: {
      const auto from = static_cast<float>(255 * magnitude);
      for (float& value : image->values) value = value >= from ? 255 - value : value;
      return;
    }
    case AugmentOperation::kAutoContrast:
      return AutoContrast(image);
    case AugmentOperation::kEqualize:
      return Equalize(image);
    case AugmentOperation::kInvert:
      for (float& value : image->values) value = 255 - value;
      return;
  }
}

}  // namespace finetune
