#include "src/data/transforms/resize.h"

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <array>
#include <utility>

#include "src/data/transforms/normalize.h"
#include "src/data/transforms/rounding.h"

namespace finetune {
namespace {

// One output position: its left neighbour, its right neighbour, and the right one's weight.
struct Tap {
  int left, right;
  float weight;
};

std::vector<Tap> MakeTaps(int from, int to) {
  std::vector<Tap> taps(to);
  const double scale = static_cast<double>(from) / to;
  for (int i = 0; i < to; ++i) {
    const double at = std::max(0.0, (i + 0.5) * scale - 0.5);
    const int left = std::min(static_cast<int>(at), from - 1);
    taps[i] = {left, std::min(left + 1, from - 1), static_cast<float>(at - left)};
  }
  return taps;
}

// out[i] = a[i] + weight * (b[i] - a[i])
FT_VECTORISED void BlendRows(const float* __restrict a, const float* __restrict b, float weight,
                             int n, float* __restrict out) {
  for (int i = 0; i < n; ++i) out[i] = a[i] + weight * (b[i] - a[i]);
}
FT_VECTORISED void BlendRows(const float* __restrict a, const float* __restrict b, float weight,
                             int n, uint16_t* __restrict out) {
  for (int i = 0; i < n; ++i) out[i] = ToBfloat16(a[i] + weight * (b[i] - a[i]));
}

class DeviceResize : public DeviceTransform {
 public:
  DeviceResize(const std::vector<Tap>& rows, const std::vector<Tap>& columns, at::Device device)
      : rows_(OnDevice(rows, device)), columns_(OnDevice(columns, device)) {}

  at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const override {
    return Along(Along(images, kColumns, columns_), kRows, rows_);
  }
  // Neighbours' weights add up to 1, so that the smaller image can be normalised instead.
  at::Tensor Finish(const at::Tensor& images, const at::Tensor& draws,
                    const DeviceNormalize& normalize) const override {
    return Apply(normalize.Apply(images), draws);
  }

 private:
  // The taps of one axis, [size] each.
  struct Axis {
    at::Tensor left, right, weight;
  };
  static Axis OnDevice(const std::vector<Tap>& taps, at::Device device) {
    std::vector<int64_t> left, right;
    std::vector<float> weight;
    for (const Tap& tap : taps) {
      left.push_back(tap.left);
      right.push_back(tap.right);
      weight.push_back(tap.weight);
    }
    return {at::tensor(left).to(device), at::tensor(right).to(device),
            at::tensor(weight).to(device)};
  }
  static at::Tensor Along(const at::Tensor& x, int64_t dimension, const Axis& axis) {
    std::array<int64_t, 4> along = {1, 1, 1, 1};
    along[dimension] = axis.weight.numel();
    return x.index_select(dimension, axis.left)
        .lerp(x.index_select(dimension, axis.right), axis.weight.view(along));
  }

  const Axis rows_, columns_;
};

class Resize : public Transform {
 public:
  Resize(const ImageShape& input, int height, int width)
      : channels_(input.channels),
        rows_(MakeTaps(input.height, height)),
        columns_(MakeTaps(input.width, width)) {}

  ImageShape output() const override {
    return {channels_, static_cast<int>(rows_.size()), static_cast<int>(columns_.size())};
  }

  void Apply(const int64_t* draws, Image* image) const override {
    constexpr std::array<float, 3> kOne = {1, 1, 1}, kZero = {0, 0, 0};
    image->next.resize(rows_.size() * columns_.size() * channels_);
    ResizeTo(kOne, kZero, image, image->next.data());
    std::swap(image->values, image->next);
    image->shape = output();
  }
  // Resizing and normalising are one pass.
  void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
              float* out) const override {
    ResizeTo(normalize.scale(), normalize.shift(), image, out);
  }
  void Finish(const int64_t* draws, const Normalize& normalize, Image* image,
              Bfloat16* out) const override {
    ResizeTo(normalize.scale(), normalize.shift(), image, out);
  }

  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override {
    return std::make_unique<DeviceResize>(rows_, columns_, device);
  }

 private:
  // Writes value * scale[c] + shift[c] of the resized image. Upsampling reads each row of the image
  // many times: each is widened and normalised once, then only rows are blended.
  template <typename T>
  void ResizeTo(const std::array<float, 3>& scale, const std::array<float, 3>& shift, Image* image,
                T* out) const {
    const int c = channels_;
    const int row = static_cast<int>(columns_.size()) * c;
    const int source_rows = rows_.back().right + 1;
    image->scratch.resize(static_cast<size_t>(source_rows) * row);
    for (int y = 0; y < source_rows; ++y) {
      const float* source = image->values.data() + static_cast<size_t>(y) * image->shape.width * c;
      float* widened = image->scratch.data() + static_cast<size_t>(y) * row;
      for (size_t x = 0; x < columns_.size(); ++x) {
        const Tap& tap = columns_[x];
        for (int k = 0; k < c; ++k) {
          const float left = source[tap.left * c + k];
          const float value = left + tap.weight * (source[tap.right * c + k] - left);
          widened[x * c + k] = value * scale[k] + shift[k];
        }
      }
    }
    const float* widened = image->scratch.data();
    for (size_t y = 0; y < rows_.size(); ++y) {
      const Tap& tap = rows_[y];
      BlendRows(widened + static_cast<size_t>(tap.left) * row,
                widened + static_cast<size_t>(tap.right) * row, tap.weight, row,
                Raw(out + y * row));
    }
  }

  const int channels_;
  const std::vector<Tap> rows_, columns_;
};

}  // namespace

std::unique_ptr<Transform> MakeResize(const ResizeConfig& config, const ImageShape& input,
                                      const Problems& problems) {
  if (config.has_size() == (config.has_height() || config.has_width()) ||
      config.has_height() != config.has_width()) {
    problems.Error("", "expected size, or height and width");
    return nullptr;
  }
  if (config.has_size()) {
    if (!problems.InRange("size", config.size(), 1, 8192)) return nullptr;
    return std::make_unique<Resize>(input, config.size(), config.size());
  }
  const bool height = problems.InRange("height", config.height(), 1, 8192);
  const bool width = problems.InRange("width", config.width(), 1, 8192);
  if (!height || !width) return nullptr;
  return std::make_unique<Resize>(input, config.height(), config.width());
}

}  // namespace finetune
