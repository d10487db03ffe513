#include "src/data/transforms/random_resized_crop.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "src/data/transforms/rectangle.h"
#include "src/data/transforms/resample.h"

namespace finetune {
namespace {

// Resizes along each axis by a matrix product with the weight of each pixel in each result. Each
// image has its own rectangle and so its own weights.
class DeviceRandomResizedCrop : public DeviceTransform {
 public:
  DeviceRandomResizedCrop(const ImageShape& output, const Resampling& resampling)
      : output_(output), resampling_(resampling) {}

  at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const override {
    return ResampleOnDevice(
        images, Weights(draws.select(1, 0), draws.select(1, 2), images.size(kRows), output_.height),
        Weights(draws.select(1, 1), draws.select(1, 3), images.size(kColumns), output_.width));
  }

 private:
  // Returns the weights [n, results, pixels] along one axis. `begin`, `length`: [n], the first
  // pixel and the number of pixels of each image's rectangle. Pixels outside the rectangle weigh 0.
  // The weights of each result add up to 1.
  at::Tensor Weights(const at::Tensor& begin, const at::Tensor& length, int64_t pixels,
                     int64_t results) const {
    const at::TensorOptions options = begin.options().dtype(at::kDouble);
    const at::Tensor from = begin.to(at::kDouble).view({-1, 1, 1});
    const at::Tensor scale = length.to(at::kDouble).view({-1, 1, 1}) / results;
    const at::Tensor centre = from + (at::arange(results, options).view({1, -1, 1}) + 0.5) * scale;
    const at::Tensor pixel = at::arange(pixels, options).view({1, 1, -1}) + 0.5;
    at::Tensor distance = (pixel - centre).abs();
    if (resampling_.antialias) distance = distance / scale.clamp_min(1);
    at::Tensor weights;
    if (resampling_.bicubic) {
      const at::Tensor near = ((1.5 * distance - 2.5) * distance * distance) + 1;
      const at::Tensor far = (((distance - 5) * distance + 8) * distance - 4) * -0.5;
      weights = at::where(distance < 1, near, far * (distance < 2));
    } else {
      weights = (1 - distance).clamp_min(0);
    }
    weights = weights * ((pixel > from) & (pixel < from + length.view({-1, 1, 1})));
    return (weights / weights.sum(2, /*keepdim=*/true)).to(at::kFloat);
  }

  const ImageShape output_;
  const Resampling resampling_;
};

class RandomResizedCrop : public ResizingTransform {
 public:
  RandomResizedCrop(const ImageShape& output, const RectangleRange& range,
                    const Resampling& resampling)
      : ResizingTransform(resampling), output_(output), range_(range) {}

  ImageShape output() const override { return output_; }

  // The draws are the rectangle's top, left, height and width.
  int draws() const override { return 4; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    const auto place = [&](int top, int left, int height, int width) {
      draws[0] = top, draws[1] = left, draws[2] = height, draws[3] = width;
    };
    for (int tries = 0; tries < 10; ++tries) {
      const auto [width, height] =
          DrawSides(range_, double{1} * image.height * image.width, random);
      if (width < 1 || height < 1 || width > image.width || height > image.height) continue;
      const auto top = static_cast<int>(random->Below(image.height - height + 1));
      const auto left = static_cast<int>(random->Below(image.width - width + 1));
      return place(top, left, height, width);
    }
    const double ratio = static_cast<double>(image.width) / image.height;
    int height = image.height, width = image.width;
    if (ratio < range_.min_ratio) height = static_cast<int>(std::lrint(width / range_.min_ratio));
    if (ratio > range_.max_ratio) width = static_cast<int>(std::lrint(height * range_.max_ratio));
    height = std::max(height, 1), width = std::max(width, 1);
    place((image.height - height) / 2, (image.width - width) / 2, height, width);
  }

  // A bicubic resize without antialiasing is not implemented on a device: OpenCV repeats the pixels
  // at the rectangle's edge, but Weights() ignores pixels outside the rectangle. The arithmetic of
  // `rounded` is not implemented either.
  bool on_device() const override {
    return !resampling().rounded && (resampling().antialias || !resampling().bicubic);
  }
  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override {
    return std::make_unique<DeviceRandomResizedCrop>(output_, resampling());
  }

 protected:
  ImageRectangle PartOf(const ImageShape& image, const int64_t* draws) const override {
    return {static_cast<int>(draws[0]), static_cast<int>(draws[1]), static_cast<int>(draws[2]),
            static_cast<int>(draws[3])};
  }

 private:
  const ImageShape output_;
  const RectangleRange range_;
};

}  // namespace

std::unique_ptr<Transform> MakeRandomResizedCrop(const RandomResizedCropConfig& config,
                                                 const ImageShape& input,
                                                 const Problems& problems) {
  const std::optional<ImageShape> size = ReadSize(config, problems);
  const std::optional<Resampling> resampling = ReadResampling(config, problems);
  const RectangleRange range = {config.min_area(), config.max_area(), config.min_ratio(),
                                config.max_ratio()};
  if (!IsRange(range, problems) || !size.has_value() || !resampling.has_value()) return nullptr;
  return std::make_unique<RandomResizedCrop>(ImageShape{input.channels, size->height, size->width},
                                             range, *resampling);
}

}  // namespace finetune
