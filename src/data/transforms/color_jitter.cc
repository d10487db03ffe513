#include "src/data/transforms/color_jitter.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <utility>

#include "src/data/transforms/color.h"

namespace finetune {
namespace {

enum Operation { kBrightness, kContrast, kSaturation, kHue };

class ColorJitter : public Transform {
 public:
  // `strength`: how far the factors of brightness, contrast and saturation may be from 1, and the
  // turn of hue from 0. 0 leaves the operation out.
  ColorJitter(const ImageShape& input, const std::array<double, 4>& strength)
      : input_(input), strength_(strength) {}

  ImageShape output() const override { return input_; }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return image;
  }

  int draws() const override { return 8; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    for (int i = 0; i < 4; ++i) draws[i] = i;
    for (int i = 3; i > 0; --i) std::swap(draws[i], draws[random->Below(i + 1)]);
    for (int i = 0; i < 4; ++i) {
      const double centre = i == kHue ? 0 : 1;
      const double low = std::max(centre - strength_[i], i == kHue ? -0.5 : 0.0);
      const double high = centre + strength_[i];
      draws[4 + i] = std::bit_cast<int64_t>(low + (high - low) * random->Uniform());
    }
  }

  void Apply(const int64_t* draws, Image* image) const override {
    const auto [channels, height, width] = image->shape;
    const size_t pixels = size_t{1} * height * width;
    float* const values = image->values.data();
    for (int i = 0; i < 4; ++i) {
      const auto operation = static_cast<Operation>(draws[i]);
      if (strength_[operation] == 0) continue;
      const auto factor = static_cast<float>(std::bit_cast<double>(draws[4 + operation]));
      if (operation == kBrightness) AdjustBrightness(factor, pixels, channels, values);
      if (operation == kContrast) AdjustContrast(factor, pixels, channels, values);
      if (operation == kSaturation && channels == 3) AdjustSaturation(factor, pixels, values);
      if (operation == kHue && channels == 3) AdjustHue(factor, pixels, values);
    }
  }

  bool on_device() const override { return false; }
  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override { return nullptr; }

 private:
  const ImageShape input_;
  const std::array<double, 4> strength_;
};

}  // namespace

std::unique_ptr<Transform> MakeColorJitter(const ColorJitterConfig& config, const ImageShape& input,
                                           const Problems& problems) {
  bool right = problems.AtLeast("brightness", config.brightness(), 0);
  right = problems.AtLeast("contrast", config.contrast(), 0) && right;
  right = problems.AtLeast("saturation", config.saturation(), 0) && right;
  right = problems.InRange("hue", config.hue(), 0, 0.5) && right;
  if (!right) return nullptr;
  return std::make_unique<ColorJitter>(
      input, std::array<double, 4>{config.brightness(), config.contrast(), config.saturation(),
                                   config.hue()});
}

}  // namespace finetune
