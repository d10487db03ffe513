#include "src/data/transforms/taps.h"

#include <algorithm>
#include <cmath>

namespace finetune {
namespace {

void MakeLinear(Taps* taps) {
  const double scale = taps->from.length / taps->to;
  taps->count = 2;
  for (int i = 0; i < taps->to; ++i) {
    const double at = std::max(0.0, taps->from.begin + (i + 0.5) * scale - 0.5);
    const int left = std::min(static_cast<int>(at), taps->from.pixels - 1);
    const auto weight = left + 1 < taps->from.pixels ? static_cast<float>(at - left) : 0.0f;
    taps->first.push_back(left);
    taps->weights.insert(taps->weights.end(), {1 - weight, weight});
  }
}

// Makes the integer taps of OpenCV's cv2.resize. It computes positions in float32, and uses the
// edge pixel for neighbours beyond the edge.
void MakeLinearIntegers(Taps* taps) {
  const double scale = 1.0 / (static_cast<double>(taps->to) / taps->from.pixels);
  for (int i = 0; i < taps->to; ++i) {
    const auto at = static_cast<float>((i + 0.5) * scale - 0.5);
    const float left = std::floor(at);
    const auto pixel = [&](float x) {
      return std::clamp(static_cast<int>(x), 0, taps->from.pixels - 1);
    };
    const auto integer = [](float x) {
      return static_cast<int>(std::lrint(x * (1 << kOpenCvBits)));
    };
    taps->integers.insert(taps->integers.end(), {pixel(left), pixel(left + 1),
                                                 integer(1 - (at - left)), integer(at - left)});
  }
}

// Returns the weight of a pixel at the distance `x` (at least 0) from the result: the cubic
// convolution kernel of Keys 1981 with the parameter `a`.
double Cubic(double a, double x) {
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

void MakeCubic(Taps* taps) {
  const double scale = taps->from.length / taps->to;
  taps->count = std::min(4, taps->from.pixels);
  taps->weights.assign(static_cast<size_t>(taps->to) * taps->count, 0);
  for (int i = 0; i < taps->to; ++i) {
    const double at = taps->from.begin + (i + 0.5) * scale - 0.5;
    const int left = static_cast<int>(std::floor(at)) - 1;
    const int first = std::clamp(left, 0, taps->from.pixels - taps->count);
    taps->first.push_back(first);
    for (int k = 0; k < 4; ++k) {
      // The edge pixel is used for pixels beyond the edge.
      const int pixel = std::clamp(left + k, 0, taps->from.pixels - 1);
      taps->weights[static_cast<size_t>(i) * taps->count + pixel - first] +=
          static_cast<float>(Cubic(-0.75, std::abs(at - (left + k))));
    }
  }
}

void MakeAntialiased(Taps* taps) {
  const double scale = taps->from.length / taps->to;
  const double stretch = std::max(scale, 1.0);
  const double support = (taps->resampling.bicubic ? 2 : 1) * stretch;
  taps->count = std::min(taps->from.pixels, 2 * static_cast<int>(std::ceil(support)) + 1);
  taps->weights.assign(static_cast<size_t>(taps->to) * taps->count, 0);
  for (int i = 0; i < taps->to; ++i) {
    const double centre = taps->from.begin + (i + 0.5) * scale;
    const int begin = std::max(0, static_cast<int>(centre - support + 0.5));
    const int end = std::min(taps->from.pixels, static_cast<int>(centre + support + 0.5));
    const int first = std::min(begin, taps->from.pixels - taps->count);
    taps->first.push_back(first);
    const auto weight = [&](int pixel) {
      const double distance = std::abs(pixel + 0.5 - centre) / stretch;
      return taps->resampling.bicubic ? Cubic(-0.5, distance) : std::max(0.0, 1 - distance);
    };
    double sum = 0;
    for (int pixel = begin; pixel < end; ++pixel) sum += weight(pixel);
    for (int pixel = begin; pixel < end; ++pixel) {
      taps->weights[static_cast<size_t>(i) * taps->count + pixel - first] =
          static_cast<float>(weight(pixel) / sum);
    }
    if (!taps->resampling.rounded) continue;
    for (int pixel = first; pixel < first + taps->count; ++pixel) {
      const double exact =
          pixel < begin || pixel >= end ? 0 : weight(pixel) / sum * (1 << kPillowBits);
      taps->integers.push_back(static_cast<int>(exact + (exact < 0 ? -0.5 : 0.5)));
    }
  }
}

}  // namespace

void MakeTaps(const Resampling& resampling, const Stretch& from, int to, Taps* taps) {
  if (taps->resampling == resampling && taps->from == from && taps->to == to) return;
  taps->resampling = resampling;
  taps->from = from;
  taps->to = to;
  taps->first.clear();
  taps->weights.clear();
  taps->integers.clear();
  if (resampling.antialias) {
    MakeAntialiased(taps);
  } else if (resampling.bicubic) {
    MakeCubic(taps);
  } else {
    MakeLinear(taps);
    if (resampling.rounded) MakeLinearIntegers(taps);
  }
}

}  // namespace finetune
