#ifndef FINETUNE_DATA_TRANSFORMS_RECTANGLE_H_
#define FINETUNE_DATA_TRANSFORMS_RECTANGLE_H_

#include <cmath>

#include "src/base/philox.h"
#include "src/config/problems.h"

namespace finetune {

// The range from which a random rectangle is drawn: its area as a part of the image's area, and the
// ratio of its sides.
struct RectangleRange {
  double min_area, max_area, min_ratio, max_ratio;
};

struct Sides {
  // The lengths of a rectangle's sides in pixels. The ratio of the rectangle is above / below.
  int above, below;
};

// Draws the sides of a rectangle: an area from the uniform distribution, and a ratio whose
// logarithm is uniformly distributed. The sides are rounded and may be 0 or larger than the image.
// `pixels`: the image's area.
inline Sides DrawSides(const RectangleRange& range, double pixels, RandomStream* random) {
  const double area =
      pixels * (range.min_area + (range.max_area - range.min_area) * random->Uniform());
  const double low = std::log(range.min_ratio), high = std::log(range.max_ratio);
  const double ratio = std::exp(low + (high - low) * random->Uniform());
  // lrint rounds halves to the even number, as Python's round() does.
  return {static_cast<int>(std::lrint(std::sqrt(area * ratio))),
          static_cast<int>(std::lrint(std::sqrt(area / ratio)))};
}

// Checks the config fields min_area, max_area, min_ratio and max_ratio. Returns false and adds
// errors to `problems` if one is out of range.
inline bool IsRange(const RectangleRange& range, const Problems& problems) {
  // In no ordinary image would a rectangle with a ratio outside 1e-4 to 1e4 be as wide as a pixel.
  constexpr double kLeastRatio = 1e-4, kMostRatio = 1e4;
  bool areas = problems.InRange("min_area", range.min_area, 0, 1);
  areas = problems.InRange("max_area", range.max_area, 0, 1) && areas;
  areas = areas && problems.NotBelow("max_area", range.max_area, "min_area", range.min_area);
  bool ratios = problems.InRange("min_ratio", range.min_ratio, kLeastRatio, kMostRatio);
  ratios = problems.InRange("max_ratio", range.max_ratio, kLeastRatio, kMostRatio) && ratios;
  ratios = ratios && problems.NotBelow("max_ratio", range.max_ratio, "min_ratio", range.min_ratio);
  return areas && ratios;
}

}  // namespace finetune

#endif  // FINETUNE_DATA_TRANSFORMS_RECTANGLE_H_
