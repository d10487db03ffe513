#include "src/data/transforms/trivial_augment_wide.h"

#include <cstdint>

#include "src/data/transforms/augment_operations.h"

namespace finetune {
namespace {

class TrivialAugmentWide : public Transform {
 public:
  TrivialAugmentWide(const ImageShape& input, const WarpFilling& filling)
      : input_(input), filling_(filling) {}

  ImageShape output() const override { return input_; }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return image;
  }

  int draws() const override { return kAugmentDraws; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    constexpr AugmentRanges kWide = {.shear = 0.99,
                                     .translate_x = 32,
                                     .translate_y = 32,
                                     .rotate = 135,
                                     .factor = 0.99,
                                     .bits = 6};
    const auto bin = static_cast<int>(random->Below(kAugmentBins + 1));
    DrawAugment(kWide, bin, random, draws);
  }

  void Apply(const int64_t* draws, Image* image) const override {
    ApplyAugment(draws, filling_, image);
  }

  bool on_device() const override { return false; }
  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override { return nullptr; }

 private:
  const ImageShape input_;
  const WarpFilling filling_;
};

}  // namespace

std::unique_ptr<Transform> MakeTrivialAugmentWide(const TrivialAugmentWideConfig& config,
                                                  const ImageShape& input,
                                                  const Problems& problems) {
  if (!problems.InRange("fill", config.fill(), 0, 255)) return nullptr;
  return std::make_unique<TrivialAugmentWide>(input, WarpFilling{config.bilinear(), config.fill()});
}

}  // namespace finetune
