#include "src/data/transforms/random_grayscale.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>

#include <algorithm>

#include "src/data/transforms/grey.h"

namespace finetune {
namespace {

class DeviceRandomGrayscale : public DeviceTransform {
 public:
  at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const override {
    if (images.size(kChannels) == 1) return images;
    return at::where(draws.view({-1, 1, 1, 1}) != 0, GreyOf(images), images);
  }
};

class RandomGrayscale : public Transform {
 public:
  RandomGrayscale(const ImageShape& input, float probability)
      : input_(input), probability_(probability) {}

  ImageShape output() const override { return input_; }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return image;
  }

  // True only if every image becomes grey. If some images keep their colours, the statistics of the
  // stored channels are good enough for Normalize.
  bool mixes_channels() const override { return input_.channels == 3 && probability_ >= 1; }

  // The draw is 1 if the image turns grey, otherwise 0.
  int draws() const override { return 1; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    *draws = random->Uniform() < probability_ ? 1 : 0;
  }

  void Apply(const int64_t* draws, Image* image) const override {
    if (*draws == 0 || input_.channels == 1) return;
    const size_t pixels = size_t{1} * image->shape.height * image->shape.width;
    for (size_t i = 0; i < pixels; ++i) {
      float* pixel = image->values.data() + i * 3;
      std::fill_n(pixel, 3, GreyOf(pixel));
    }
  }

  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override {
    return std::make_unique<DeviceRandomGrayscale>();
  }

 private:
  const ImageShape input_;
  const float probability_;
};

}  // namespace

std::unique_ptr<Transform> MakeRandomGrayscale(const RandomGrayscaleConfig& config,
                                               const ImageShape& input, const Problems& problems) {
  if (!problems.InRange("probability", config.probability(), 0, 1)) return nullptr;
  return std::make_unique<RandomGrayscale>(input, config.probability());
}

}  // namespace finetune
