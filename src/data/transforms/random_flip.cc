#include "src/data/transforms/random_flip.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cstring>

namespace finetune {
namespace {

// Mirrors a row of pixels of three channels. `old`: memory for one number more than the row has.
// Copies each pixel with the number behind it, as one vector of four; the next pixel overwrites it.
void MirrorPixels(int64_t width, float* __restrict old, float* __restrict line) {
  std::copy_n(line, width * 3, old);
  for (int64_t x = 0; x + 1 < width; ++x) {
    std::memcpy(line + x * 3, old + (width - 1 - x) * 3, 4 * sizeof(float));
  }
  std::copy_n(old, 3, line + (width - 1) * 3);
}

class DeviceFlip : public DeviceTransform {
 public:
  at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const override {
    return at::where(draws.view({-1, 1, 1, 1}) != 0, images.flip(kColumns), images);
  }
};

class RandomFlip : public Transform {
 public:
  RandomFlip(const ImageShape& input, float probability)
      : input_(input), probability_(probability) {}

  ImageShape output() const override { return input_; }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return image;
  }

  // The draw is 1 if the image is mirrored, otherwise 0.
  int draws() const override { return 1; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    *draws = random->Uniform() < probability_ ? 1 : 0;
  }

  void Apply(const int64_t* draws, Image* image) const override {
    if (*draws == 0) return;
    const int64_t height = image->shape.height, width = image->shape.width;
    for (int64_t y = 0; y < height; ++y) {
      float* const line = image->values.data() + y * width * image->shape.channels;
      if (image->shape.channels == 1) {
        std::reverse(line, line + width);
      } else {
        MirrorPixels(width, ScratchOf(image, width * 3 + 1), line);
      }
    }
  }

  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override {
    return std::make_unique<DeviceFlip>();
  }

 private:
  const ImageShape input_;
  const float probability_;
};

}  // namespace

std::unique_ptr<Transform> MakeRandomFlip(const RandomFlipConfig& config, const ImageShape& input,
                                          const Problems& problems) {
  if (!problems.InRange("probability", config.probability(), 0, 1)) return nullptr;
  return std::make_unique<RandomFlip>(input, config.probability());
}

}  // namespace finetune
