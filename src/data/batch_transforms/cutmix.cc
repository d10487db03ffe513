#include "src/data/batch_transforms/cutmix.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "src/data/batch_transforms/beta.h"

namespace finetune {
namespace {

// The rows or the columns [begin, end) that the rectangle covers.
struct Extent {
  int begin, end;
};

// Draws the rectangle's extent along one side as torchvision does: half * side pixels to both sides
// of a random pixel, cut off at the image's border.
Extent DrawExtent(double half, int side, RandomStream* random) {
  const auto centre = static_cast<int>(random->Below(side));
  const auto reach = static_cast<int>(half * side);
  return {std::max(centre - reach, 0), std::min(centre + reach, side)};
}

class CutMix : public BatchTransform {
 public:
  explicit CutMix(double alpha) : alpha_(alpha) {}

  int draws() const override { return 5; }
  void Draw(RandomStream* random, const ImageShape& shape, float* draws) const override {
    const double half = 0.5 * std::sqrt(1 - DrawSymmetricBeta(alpha_, random));
    const Extent columns = DrawExtent(half, shape.width, random);
    const Extent rows = DrawExtent(half, shape.height, random);
    const double cut = double{1} * (rows.end - rows.begin) * (columns.end - columns.begin);
    draws[0] = static_cast<float>(1 - cut / (double{1} * shape.height * shape.width));
    draws[1] = static_cast<float>(rows.begin);
    draws[2] = static_cast<float>(columns.begin);
    draws[3] = static_cast<float>(rows.end);
    draws[4] = static_cast<float>(columns.end);
  }

  void Apply(const float* draws, const ImageShape& shape, float* a, float* b) const override {
    Exchange(draws, shape, a, b);
  }
  void Apply(const float* draws, const ImageShape& shape, Bfloat16* a, Bfloat16* b) const override {
    Exchange(draws, shape, a, b);
  }

  void ApplyOnDevice(const at::Tensor& draws, const at::Tensor& a,
                     const at::Tensor& b) const override {
    const auto inside = [&](int64_t dimension, int64_t begin, int64_t end) {
      const at::Tensor pixel = at::arange(a.size(dimension), draws.options());
      return (pixel >= draws[begin]) & (pixel < draws[end]);
    };
    const at::Tensor cut =
        (inside(kRows, 1, 3).unsqueeze(1) & inside(kColumns, 2, 4).unsqueeze(0)).unsqueeze(2);
    const at::Tensor mixed = at::where(cut, b, a);
    b.copy_(at::where(cut, a, b));
    a.copy_(mixed);
  }

 private:
  template <typename T>
  static void Exchange(const float* draws, const ImageShape& shape, T* a, T* b) {
    const auto top = static_cast<int64_t>(draws[1]), left = static_cast<int64_t>(draws[2]);
    const auto bottom = static_cast<int64_t>(draws[3]), right = static_cast<int64_t>(draws[4]);
    for (int64_t y = top; y < bottom; ++y) {
      const int64_t row = y * shape.width;
      std::swap_ranges(a + (row + left) * shape.channels, a + (row + right) * shape.channels,
                       b + (row + left) * shape.channels);
    }
  }

  const double alpha_;
};

}  // namespace

std::unique_ptr<BatchTransform> MakeCutMix(const CutMixConfig& config, const Problems& problems) {
  if (!problems.Positive("alpha", config.alpha())) return nullptr;
  return std::make_unique<CutMix>(config.alpha());
}

}  // namespace finetune
