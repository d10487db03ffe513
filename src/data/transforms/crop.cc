#include "src/data/transforms/crop.h"

#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

struct Geometry {
  ImageShape input;
  int size = 0;
  // The number of padding pixels on each side of the image, and their value.
  int padding = 0;
  float pad_value = 0;
  bool random = false;
  // Only for a crop from the centre: how the offset, half the difference of the sizes, is rounded
  // if the difference is odd. True: to the even neighbour. False: down, towards the upper left.
  bool even = false;
  // Whether the square may be larger than the images. If false, a larger square is an error in the
  // config; if true, images are padded.
  bool pads = false;
};

class DeviceCrop : public DeviceTransform {
 public:
  DeviceCrop(const Geometry& geometry, at::Device device)
      : geometry_(geometry),
        window_(at::arange(geometry.size, at::TensorOptions(at::kLong).device(device))) {}

  at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const override {
    const int64_t p = geometry_.padding;
    // Images smaller than the square are padded more: on each side by the whole number of missing
    // pixels, so that any place of the square lies in `padded`.
    const int64_t above = std::max<int64_t>(geometry_.size - images.size(kRows) - 2 * p, 0);
    const int64_t before = std::max<int64_t>(geometry_.size - images.size(kColumns) - 2 * p, 0);
    const int64_t y = p + above, x = p + before;
    const at::Tensor padded =
        y + x == 0 ? images : at::constant_pad_nd(images, {0, 0, x, x, y, y}, geometry_.pad_value);
    // Indices into `padded`: images [n, 1, 1], rows [n, size, 1] and columns [n, 1, size].
    const at::Tensor which = at::arange(images.size(0), window_.options()).view({-1, 1, 1});
    const at::Tensor rows = (draws.select(1, 0).unsqueeze(1) + window_ + above).unsqueeze(2);
    const at::Tensor columns = (draws.select(1, 1).unsqueeze(1) + window_ + before).unsqueeze(1);
    return padded.index({which, rows, columns});
  }

 private:
  const Geometry geometry_;
  at::Tensor window_;  // [size], the offsets of the square's rows and columns
};

class Crop : public Transform {
 public:
  explicit Crop(const Geometry& geometry) : geometry_(geometry) {}

  ImageShape output() const override {
    return {geometry_.input.channels, geometry_.size, geometry_.size};
  }

  // The draws are the square's top and left in the image after `padding`. They are negative if that
  // image is smaller than the square.
  int draws() const override { return 2; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    for (const int from : {image.height, image.width}) {
      const int slack = from + 2 * geometry_.padding - geometry_.size;
      if (geometry_.random && slack >= 0) {
        *draws++ = random->Below(slack + 1);
      } else if (geometry_.even && slack >= 0) {
        *draws++ = std::lrint(slack / 2.0);
      } else {
        // Centre the square. The division rounds towards 0: for a centre crop that is not `even`
        // towards the upper left of the image, and for an image that is smaller than the square
        // (negative slack) towards less padding above and left.
        *draws++ = slack / 2;
      }
    }
  }

  // Returns the part of the square that is not padding.
  std::optional<NeededPart> NeedOf(const ImageShape& image, const int64_t* draws) const override {
    const auto inside = [&](int64_t begin, int pixels, int* first, int* count) {
      *first = std::clamp(static_cast<int>(begin) - geometry_.padding, 0, pixels);
      *count = std::clamp(static_cast<int>(begin) - geometry_.padding + geometry_.size, 0, pixels) -
               *first;
      return *count > 0;
    };
    NeededPart need;
    // If the square is all padding, no pixel is needed. A NeededPart cannot be empty, so the whole
    // image is asked for.
    if (!inside(draws[0], image.height, &need.part.top, &need.part.height) ||
        !inside(draws[1], image.width, &need.part.left, &need.part.width)) {
      return std::nullopt;
    }
    return need;
  }

  void Apply(const int64_t* draws, Image* image) const override {
    const int top = static_cast<int>(draws[0]), left = static_cast<int>(draws[1]);
    const auto [c, height, width] = image->shape;
    const int size = geometry_.size;
    // If only a part of the image was decoded, its first row is row place.top of the whole image,
    // and its first column is column place.left.
    const PartPlace place = image->place.value_or(PartPlace());
    const int above = geometry_.padding + static_cast<int>(place.top);
    const int before = geometry_.padding + static_cast<int>(place.left);
    image->next.assign(size_t{1} * size * size * c, geometry_.pad_value);
    // Columns [x0, x1) of the square come from the image, all others from the padding.
    const int x0 = std::max(0, before - left);
    const int x1 = std::min(size, before - left + width);
    for (int y = 0; y < size && x0 < x1; ++y) {
      const int from = y + top - above;
      if (from < 0 || from >= height) continue;
      const float* source =
          image->values.data() + (static_cast<size_t>(from) * width + x0 + left - before) * c;
      std::copy_n(source, static_cast<size_t>(x1 - x0) * c,
                  image->next.data() + (static_cast<size_t>(y) * size + x0) * c);
    }
    std::swap(image->values, image->next);
    image->shape = output();
  }

  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override {
    return std::make_unique<DeviceCrop>(geometry_, device);
  }

 private:
  const Geometry geometry_;
};

std::unique_ptr<Transform> Make(const Geometry& geometry, bool has_size, const Problems& problems) {
  const int size = geometry.size, padding = geometry.padding;
  if (!has_size) {
    problems.Error("size", "is not set");
    return nullptr;
  }
  if (!problems.InRange("size", size, 1, 8192)) return nullptr;
  const auto [channels, height, width] = geometry.input;
  if (!geometry.pads && height > 0 && (size > height + 2 * padding || size > width + 2 * padding)) {
    problems.Error("size",
                   absl::StrCat("is ", size, "; the image is ", height, "x", width, " here",
                                padding > 0 ? absl::StrCat(" with ", padding, " pixels around it")
                                            : std::string()));
    return nullptr;
  }
  return std::make_unique<Crop>(geometry);
}

}  // namespace

std::unique_ptr<Transform> MakeRandomCrop(const RandomCropConfig& config, const ImageShape& input,
                                          const Problems& problems) {
  const bool padding = problems.InRange("padding", config.padding(), 0, 8192);
  const bool value = problems.InRange("pad_value", config.pad_value(), 0, 255);
  const Geometry geometry = {input, config.size(), padding ? config.padding() : 0,
                             static_cast<float>(config.pad_value()), /*random=*/true};
  std::unique_ptr<Transform> crop = Make(geometry, config.has_size(), problems);
  return padding && value ? std::move(crop) : nullptr;
}

std::unique_ptr<Transform> MakeCenterCrop(const CenterCropConfig& config, const ImageShape& input,
                                          const Problems& problems) {
  if (!problems.InRange("pad_value", config.pad_value(), 0, 255)) return nullptr;
  Geometry geometry = {input, config.size()};
  geometry.pad_value = static_cast<float>(config.pad_value());
  geometry.even = config.middle() == CenterCropConfig::EVEN;
  geometry.pads = config.has_pad_value();
  return Make(geometry, config.has_size(), problems);
}

}  // namespace finetune
