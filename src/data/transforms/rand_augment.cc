#include "src/data/transforms/rand_augment.h"

#include <cstdint>

#include "src/data/transforms/augment_operations.h"

namespace finetune {
namespace {

class RandAugment : public Transform {
 public:
  RandAugment(const ImageShape& input, int operations, int magnitude, const WarpFilling& filling)
      : input_(input), operations_(operations), magnitude_(magnitude), filling_(filling) {}

  ImageShape output() const override { return input_; }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return image;
  }

  int draws() const override { return operations_ * kAugmentDraws; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    const AugmentRanges ranges = RangesOfRandAugment(image);
    for (int i = 0; i < operations_; ++i) {
      DrawAugment(ranges, magnitude_, random, draws + i * kAugmentDraws);
    }
  }

  void Apply(const int64_t* draws, Image* image) const override {
    for (int i = 0; i < operations_; ++i) {
      ApplyAugment(draws + i * kAugmentDraws, filling_, image);
    }
  }

  bool on_device() const override { return false; }
  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override { return nullptr; }

 private:
  const ImageShape input_;
  const int operations_, magnitude_;
  const WarpFilling filling_;
};

}  // namespace

std::unique_ptr<Transform> MakeRandAugment(const RandAugmentConfig& config, const ImageShape& input,
                                           const Problems& problems) {
  bool right = problems.InRange("num_ops", config.num_ops(), 1, kAugmentOperations);
  right = problems.InRange("magnitude", config.magnitude(), 0, kAugmentBins) && right;
  right = problems.InRange("fill", config.fill(), 0, 255) && right;
  if (!right) return nullptr;
  return std::make_unique<RandAugment>(input, config.num_ops(), config.magnitude(),
                                       WarpFilling{config.bilinear(), config.fill()});
}

}  // namespace finetune
