#include "src/data/transforms/random_erasing.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <google/protobuf/repeated_field.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/data/transforms/normal.h"
#include "src/data/transforms/rectangle.h"

namespace finetune {
namespace {

struct Paint {
  // The value of the paint for each channel, and the standard deviation of its noise, used only if
  // `noise`.
  std::vector<float> value, std;
  bool noise = false;
};

class DeviceErasing : public DeviceTransform {
 public:
  DeviceErasing(const Paint& paint, at::Device device)
      : value_(at::tensor(paint.value).to(device)) {}

  at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const override {
    const auto inside = [&](int64_t dimension, int64_t begin, int64_t length) {
      const at::Tensor pixel = at::arange(images.size(dimension), draws.options()).unsqueeze(0);
      const at::Tensor from = draws.narrow(1, begin, 1);
      return (pixel >= from) & (pixel < from + draws.narrow(1, length, 1));
    };
    const at::Tensor rows = inside(kRows, 0, 2).unsqueeze(2).unsqueeze(3);
    const at::Tensor columns = inside(kColumns, 1, 3).unsqueeze(1).unsqueeze(3);
    return at::where(rows & columns, value_, images);
  }

 private:
  const at::Tensor value_;  // [channels]
};

class RandomErasing : public Transform {
 public:
  RandomErasing(const ImageShape& input, float probability, const RectangleRange& range,
                Paint paint)
      : input_(input), probability_(probability), range_(range), paint_(std::move(paint)) {}

  ImageShape output() const override { return input_; }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return image;
  }

  int draws() const override { return 5; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    std::fill_n(draws, 5, 0);
    if (random->Uniform() >= probability_) return;
    for (int tries = 0; tries < 10; ++tries) {
      const auto [height, width] =
          DrawSides(range_, double{1} * image.height * image.width, random);
      if (height >= image.height || width >= image.width) continue;
      draws[0] = random->Below(image.height - height + 1);
      draws[1] = random->Below(image.width - width + 1);
      draws[2] = height;
      draws[3] = width;
      if (paint_.noise) draws[4] = random->Next();
      return;
    }
  }

  void Apply(const int64_t* draws, Image* image) const override {
    const int channels = image->shape.channels;
    // The noise comes from a random stream of its own, seeded by a draw, so that the number of
    // noise values does not change other draws.
    RandomStream random(static_cast<uint64_t>(draws[4]), RandomPurpose::kAugmentation, 0, 0);
    Normal noise(&random);
    for (int64_t y = draws[0]; y < draws[0] + draws[2]; ++y) {
      float* pixel = image->values.data() + (y * image->shape.width + draws[1]) * channels;
      for (int64_t x = 0; x < draws[3]; ++x) {
        for (int c = 0; c < channels; ++c) {
          float value = paint_.value[c];
          if (paint_.noise) value = std::clamp(value + paint_.std[c] * noise.Next(), 0.0f, 255.0f);
          *pixel++ = value;
        }
      }
    }
  }

  // Noise is not implemented on a device.
  bool on_device() const override { return !paint_.noise; }
  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override {
    return std::make_unique<DeviceErasing>(paint_, device);
  }

 private:
  const ImageShape input_;
  const float probability_;
  const RectangleRange range_;
  const Paint paint_;
};

// Reads the config field `field`, which has one value of 0 to 255 for each channel or one for all
// channels. `from`: its content. `otherwise`: the value if the field is empty. `channels`: the
// number of channels, 0 if not known yet. `values`: set to one value for each channel. Returns
// false and adds errors to `problems` if the field is wrong.
bool ReadValues(absl::string_view field, const google::protobuf::RepeatedField<float>& from,
                float otherwise, int channels, const Problems& problems,
                std::vector<float>* values) {
  bool right = true;
  for (int i = 0; i < from.size(); ++i) {
    right = problems.InRange(absl::StrCat(field, "[", i, "]"), from.Get(i), 0, 255) && right;
  }
  if (from.size() > 1 && channels > 0 && from.size() != channels) {
    problems.Error(field, absl::StrCat("has ", from.size(), " values; the images have ", channels,
                                       channels == 1 ? " channel" : " channels",
                                       " here: give one value, or one a channel"));
    return false;
  }
  values->assign(channels, from.empty() ? otherwise : from.Get(0));
  for (int c = 0; c < channels && from.size() > 1; ++c) (*values)[c] = from.Get(c);
  return right;
}

}  // namespace

std::unique_ptr<Transform> MakeRandomErasing(const RandomErasingConfig& config,
                                             const ImageShape& input, const Problems& problems) {
  const RectangleRange range = {config.min_area(), config.max_area(), config.min_ratio(),
                                config.max_ratio()};
  bool right = problems.InRange("probability", config.probability(), 0, 1);
  right = IsRange(range, problems) && right;
  Paint paint;
  paint.noise = config.std_size() > 0;
  right = ReadValues("value", config.value(), 128, input.channels, problems, &paint.value) && right;
  right = ReadValues("std", config.std(), 0, input.channels, problems, &paint.std) && right;
  if (!right) return nullptr;
  return std::make_unique<RandomErasing>(input, config.probability(), range, std::move(paint));
}

}  // namespace finetune
