#include "src/data/transforms/color.h"

#include <algorithm>
#include <array>

#include "src/data/transforms/grey.h"
#include "src/data/transforms/rounding.h"

namespace finetune {
namespace {

// Sets values[i] to factor * values[i] + rest, clamped to 0 to 255.
FT_VECTORISED void Scale(float factor, float rest, size_t n, float* __restrict values) {
  for (size_t i = 0; i < n; ++i) {
    values[i] = std::min(std::max(factor * values[i] + rest, 0.0f), 255.0f);
  }
}

// Adds `rows` rows of 24 values to `columns`. The 24 sums are independent, so the compiler
// vectorizes them; 24 is a multiple of 1 and 3, so that each column belongs to one channel.
constexpr size_t kColumns24 = 24;
FT_VECTORISED void AddColumns(size_t rows, const float* __restrict values,
                              float* __restrict columns) {
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < kColumns24; ++i) columns[i] += values[row * kColumns24 + i];
  }
}

double MeanGrey(size_t pixels, int channels, const float* values) {
  const size_t n = pixels * channels;
  std::array<double, 3> sums = {};
  size_t done = 0;
  // Each float32 sum takes at most 256 values, so that its rounding error is small. Then it is
  // added to a double.
  while (n - done >= kColumns24) {
    std::array<float, kColumns24> columns = {};
    const size_t rows = std::min<size_t>((n - done) / kColumns24, 256);
    AddColumns(rows, values + done, columns.data());
    for (size_t i = 0; i < kColumns24; ++i) sums[i % channels] += columns[i];
    done += rows * kColumns24;
  }
  for (; done < n; ++done) sums[done % channels] += values[done];
  const double sum =
      channels == 1 ? sums[0] : kLuma[0] * sums[0] + kLuma[1] * sums[1] + kLuma[2] * sums[2];
  return sum / static_cast<double>(pixels);
}

FT_VECTORISED void Saturate(float factor, size_t pixels, float* __restrict values) {
  for (size_t i = 0; i < pixels; ++i) {
    const float r = values[i * 3], g = values[i * 3 + 1], b = values[i * 3 + 2];
    const float rest = (1 - factor) * (kLuma[0] * r + kLuma[1] * g + kLuma[2] * b);
    values[i * 3] = std::min(std::max(factor * r + rest, 0.0f), 255.0f);
    values[i * 3 + 1] = std::min(std::max(factor * g + rest, 0.0f), 255.0f);
    values[i * 3 + 2] = std::min(std::max(factor * b + rest, 0.0f), 255.0f);
  }
}

// Returns one channel of the colour with hue `h` (in sixths of a turn, above -12), largest channel
// `v` and difference `d` between the largest and the smallest channel. `n`: 5 for red, 3 for green,
// 1 for blue. The formula is v - d * clamp(min(k, 4 - k), 0, 1) with k = (n + h) mod 6.
inline __attribute__((always_inline)) float ChannelOf(float n, float h, float v, float d) {
  // 12 is added (two turns) to make `k` positive, because the conversion to int rounds towards 0.
  float k = n + h + 12;
  k -= 6 * static_cast<float>(static_cast<int>(k * (1.0f / 6)));
  return v - d * std::min(std::max(std::min(k, 4 - k), 0.0f), 1.0f);
}

FT_VECTORISED void TurnHue(float sixths, size_t pixels, float* __restrict values) {
  for (size_t i = 0; i < pixels; ++i) {
    const float r = values[i * 3], g = values[i * 3 + 1], b = values[i * 3 + 2];
    const float v = std::max(r, std::max(g, b));
    const float d = v - std::min(r, std::min(g, b));
    const float per = 1 / (d > 0 ? d : 1);
    const float of_green = (b - r) * per + 2, of_blue = (r - g) * per + 4;
    const float h = (v == r ? (g - b) * per : (v == g ? of_green : of_blue)) + sixths;
    values[i * 3] = ChannelOf(5, h, v, d);
    values[i * 3 + 1] = ChannelOf(3, h, v, d);
    values[i * 3 + 2] = ChannelOf(1, h, v, d);
  }
}

}  // namespace

void AdjustBrightness(float factor, size_t pixels, int channels, float* values) {
  Scale(factor, 0, pixels * channels, values);
}

void AdjustContrast(float factor, size_t pixels, int channels, float* values) {
  const double mean = MeanGrey(pixels, channels, values);
  Scale(factor, static_cast<float>((1 - factor) * mean), pixels * channels, values);
}

void AdjustSaturation(float factor, size_t pixels, float* values) {
  Saturate(factor, pixels, values);
}

void AdjustHue(float turn, size_t pixels, float* values) { TurnHue(turn * 6, pixels, values); }

}  // namespace finetune
