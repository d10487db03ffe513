#include "src/data/transforms/random_rotation.h"

#include <bit>
#include <cstdint>
#include <utility>

#include "src/data/transforms/warp.h"

namespace finetune {
namespace {

class RandomRotation : public Transform {
 public:
  RandomRotation(const ImageShape& input, const RandomRotationConfig& config)
      : input_(input),
        min_degrees_(config.min_degrees()),
        max_degrees_(config.max_degrees()),
        probability_(config.probability()),
        filling_{config.bilinear(), config.fill()} {}

  ImageShape output() const override { return input_; }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return image;
  }

  int draws() const override { return 1; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    double degrees = 0;
    if (random->Uniform() < probability_) {
      degrees = min_degrees_ + (max_degrees_ - min_degrees_) * random->Uniform();
    }
    *draws = std::bit_cast<int64_t>(degrees);
  }

  void Apply(const int64_t* draws, Image* image) const override {
    const auto degrees = std::bit_cast<double>(*draws);
    if (degrees != 0) ApplyWarp(RotationBy(degrees), filling_, image);
  }

  bool on_device() const override { return false; }
  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override { return nullptr; }

 private:
  const ImageShape input_;
  const double min_degrees_, max_degrees_;
  const float probability_;
  const WarpFilling filling_;
};

}  // namespace

std::unique_ptr<Transform> MakeRandomRotation(const RandomRotationConfig& config,
                                              const ImageShape& input, const Problems& problems) {
  bool right = problems.InRange("probability", config.probability(), 0, 1);
  right = problems.InRange("fill", config.fill(), 0, 255) && right;
  for (const auto& [name, set] : {std::pair("min_degrees", config.has_min_degrees()),
                                  std::pair("max_degrees", config.has_max_degrees())}) {
    if (set) continue;
    problems.Error(name, "is not set");
    right = false;
  }
  right = problems.InRange("min_degrees", config.min_degrees(), -360, 360) && right;
  right = problems.InRange("max_degrees", config.max_degrees(), -360, 360) && right;
  right = right && problems.NotBelow("max_degrees", config.max_degrees(), "min_degrees",
                                     config.min_degrees());
  return right ? std::make_unique<RandomRotation>(input, config) : nullptr;
}

}  // namespace finetune
