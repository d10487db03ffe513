#include "src/data/transforms/grayscale.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/data/transforms/grey.h"

namespace finetune {
namespace {

class DeviceGrayscale : public DeviceTransform {
 public:
  explicit DeviceGrayscale(int channels) : channels_(channels) {}

  at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const override {
    const at::Tensor grey = images.size(kChannels) == 1 ? images : GreyOf(images);
    return grey.expand({-1, -1, -1, channels_});
  }

 private:
  const int channels_;
};

class Grayscale : public Transform {
 public:
  Grayscale(const ImageShape& input, int channels) : input_(input), channels_(channels) {}

  ImageShape output() const override { return OutputOf(input_, /*draws=*/nullptr); }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return {channels_, image.height, image.width};
  }

  bool mixes_channels() const override { return input_.channels == 3; }

  void Apply(const int64_t* draws, Image* image) const override {
    const size_t pixels = size_t{1} * image->shape.height * image->shape.width;
    image->next.resize(pixels * channels_);
    for (size_t i = 0; i < pixels; ++i) {
      const float* pixel = image->values.data() + i * input_.channels;
      std::fill_n(image->next.data() + i * channels_, channels_,
                  input_.channels == 1 ? *pixel : GreyOf(pixel));
    }
    std::swap(image->values, image->next);
    image->shape.channels = channels_;
  }

  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override {
    return std::make_unique<DeviceGrayscale>(channels_);
  }

 private:
  const ImageShape input_;
  const int channels_;
};

}  // namespace

std::unique_ptr<Transform> MakeGrayscale(const GrayscaleConfig& config, const ImageShape& input,
                                         const Problems& problems) {
  if (config.channels() != 1 && config.channels() != 3) {
    problems.WrongValue("channels", absl::StrCat("is ", config.channels(), "; expected 1 or 3"));
    return nullptr;
  }
  return std::make_unique<Grayscale>(input, config.channels());
}

}  // namespace finetune
