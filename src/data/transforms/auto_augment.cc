#include "src/data/transforms/auto_augment.h"

#include <array>
#include <cstdint>

#include "src/data/transforms/augment_operations.h"

namespace finetune {
namespace {

using enum AugmentOperation;

// AutoAugment divides RandAugment's range of each magnitude into 9 equal steps. A bin is the number
// of a step, 0 to kBins.
constexpr double kBins = 9;

struct Choice {
  AugmentOperation operation;
  float probability;
  int bin;  // of the magnitude, 0 to kBins; ignored for operations without a magnitude
};
using Pair = std::array<Choice, 2>;
using Policy = std::array<Pair, 25>;

// The policies of the paper (see AutoAugmentConfig): kImagenet is its table 9, kCifar10 its
// table 7.
constexpr Policy kImagenet = {{
    {{{kPosterize, 0.4f, 8}, {kRotate, 0.6f, 9}}},
    {{{kSolarize, 0.6f, 5}, {kAutoContrast, 0.6f, 0}}},
    {{{kEqualize, 0.8f, 0}, {kEqualize, 0.6f, 0}}},
    {{{kPosterize, 0.6f, 7}, {kPosterize, 0.6f, 6}}},
    {{{kEqualize, 0.4f, 0}, {kSolarize, 0.2f, 4}}},
    {{{kEqualize, 0.4f, 0}, {kRotate, 0.8f, 8}}},
    {{{kSolarize, 0.6f, 3}, {kEqualize, 0.6f, 0}}},
    {{{kPosterize, 0.8f, 5}, {kEqualize, 1.0f, 0}}},
    {{{kRotate, 0.2f, 3}, {kSolarize, 0.6f, 8}}},
    {{{kEqualize, 0.6f, 0}, {kPosterize, 0.4f, 6}}},
    {{{kRotate, 0.8f, 8}, {kColor, 0.4f, 0}}},
    {{{kRotate, 0.4f, 9}, {kEqualize, 0.6f, 0}}},
    {{{kEqualize, 0.0f, 0}, {kEqualize, 0.8f, 0}}},
    {{{kInvert, 0.6f, 0}, {kEqualize, 1.0f, 0}}},
    {{{kColor, 0.6f, 4}, {kContrast, 1.0f, 8}}},
    {{{kRotate, 0.8f, 8}, {kColor, 1.0f, 2}}},
    {{{kColor, 0.8f, 8}, {kSolarize, 0.8f, 7}}},
    {{{kSharpness, 0.4f, 7}, {kInvert, 0.6f, 0}}},
    {{{kShearX, 0.6f, 5}, {kEqualize, 1.0f, 0}}},
    {{{kColor, 0.4f, 0}, {kEqualize, 0.6f, 0}}},
    {{{kEqualize, 0.4f, 0}, {kSolarize, 0.2f, 4}}},
    {{{kSolarize, 0.6f, 5}, {kAutoContrast, 0.6f, 0}}},
    {{{kInvert, 0.6f, 0}, {kEqualize, 1.0f, 0}}},
    {{{kColor, 0.6f, 4}, {kContrast, 1.0f, 8}}},
    {{{kEqualize, 0.8f, 0}, {kEqualize, 0.6f, 0}}},
}};

constexpr Policy kCifar10 = {{
    {{{kInvert, 0.1f, 0}, {kContrast, 0.2f, 6}}},
    {{{kRotate, 0.7f, 2}, {kTranslateX, 0.3f, 9}}},
    {{{kSharpness, 0.8f, 1}, {kSharpness, 0.9f, 3}}},
    {{{kShearY, 0.5f, 8}, {kTranslateY, 0.7f, 9}}},
    {{{kAutoContrast, 0.5f, 0}, {kEqualize, 0.9f, 0}}},
    {{{kShearY, 0.2f, 7}, {kPosterize, 0.3f, 7}}},
    {{{kColor, 0.4f, 3}, {kBrightness, 0.6f, 7}}},
    {{{kSharpness, 0.3f, 9}, {kBrightness, 0.7f, 9}}},
    {{{kEqualize, 0.6f, 0}, {kEqualize, 0.5f, 0}}},
    {{{kContrast, 0.6f, 7}, {kSharpness, 0.6f, 5}}},
    {{{kColor, 0.7f, 7}, {kTranslateX, 0.5f, 8}}},
    {{{kEqualize, 0.3f, 0}, {kAutoContrast, 0.4f, 0}}},
    {{{kTranslateY, 0.4f, 3}, {kSharpness, 0.2f, 6}}},
    {{{kBrightness, 0.9f, 6}, {kColor, 0.2f, 8}}},
    {{{kSolarize, 0.5f, 2}, {kInvert, 0.0f, 0}}},
    {{{kEqualize, 0.2f, 0}, {kAutoContrast, 0.6f, 0}}},
    {{{kEqualize, 0.2f, 0}, {kEqualize, 0.6f, 0}}},
    {{{kColor, 0.9f, 9}, {kEqualize, 0.6f, 0}}},
    {{{kAutoContrast, 0.8f, 0}, {kSolarize, 0.2f, 8}}},
    {{{kBrightness, 0.1f, 3}, {kColor, 0.7f, 0}}},
    {{{kSolarize, 0.4f, 5}, {kAutoContrast, 0.9f, 0}}},
    {{{kTranslateY, 0.9f, 9}, {kTranslateY, 0.7f, 9}}},
    {{{kAutoContrast, 0.9f, 0}, {kSolarize, 0.8f, 3}}},
    {{{kEqualize, 0.8f, 0}, {kInvert, 0.1f, 0}}},
    {{{kTranslateY, 0.7f, 9}, {kAutoContrast, 0.9f, 0}}},
}};

class AutoAugment : public Transform {
 public:
  AutoAugment(const ImageShape& input, const Policy& policy, const WarpFilling& filling)
      : input_(input), policy_(policy), filling_(filling) {}

  ImageShape output() const override { return input_; }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return image;
  }

  int draws() const override { return 2 * kAugmentDraws; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    const AugmentRanges ranges = RangesOfRandAugment(image);
    for (const Choice& choice : policy_[random->Below(policy_.size())]) {
      if (random->Uniform() <= choice.probability) {
        double magnitude = MagnitudeAt(choice.operation, ranges, choice.bin / kBins);
        if (HasSign(choice.operation) && random->Uniform() <= 0.5f) magnitude = -magnitude;
        WriteAugment(choice.operation, magnitude, draws);
      } else {
        WriteAugment(kIdentity, 0, draws);
      }
      draws += kAugmentDraws;
    }
  }

  void Apply(const int64_t* draws, Image* image) const override {
    ApplyAugment(draws, filling_, image);
    ApplyAugment(draws + kAugmentDraws, filling_, image);
  }

  bool on_device() const override { return false; }
  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override { return nullptr; }

 private:
  const ImageShape input_;
  const Policy& policy_;
  const WarpFilling filling_;
};

}  // namespace

std::unique_ptr<Transform> MakeAutoAugment(const AutoAugmentConfig& config, const ImageShape& input,
                                           const Problems& problems) {
  if (!problems.InRange("fill", config.fill(), 0, 255)) return nullptr;
  return std::make_unique<AutoAugment>(
      input, config.policy() == AutoAugmentConfig::CIFAR10 ? kCifar10 : kImagenet,
      WarpFilling{config.bilinear(), config.fill()});
}

}  // namespace finetune
