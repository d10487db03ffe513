#include "src/data/transforms/resize.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "src/data/transforms/normalize.h"
#include "src/data/transforms/resample.h"

namespace finetune {
namespace {

// A bilinear resize without antialiasing on a device. Along each axis a result is computed from two
// neighbouring pixels.
class DeviceLinear : public DeviceTransform {
 public:
  DeviceLinear(const Taps& rows, const Taps& columns, at::Device device)
      : rows_(OnDevice(rows, device)), columns_(OnDevice(columns, device)) {}

  at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const override {
    return Along(Along(images, kColumns, columns_), kRows, rows_);
  }
  // Normalizes before the resize. This gives the same result, because the weights of the two
  // neighbours add up to 1, and is less work if images are enlarged.
  at::Tensor Finish(const at::Tensor& images, const at::Tensor& draws,
                    const DeviceNormalize& normalize) const override {
    return Apply(normalize.Apply(images), draws);
  }

 private:
  // For each result along one axis: the indices of its two neighbours, and the weight of the right
  // one. Each tensor is [results].
  struct Axis {
    at::Tensor left, right, weight;
  };
  static Axis OnDevice(const Taps& taps, at::Device device) {
    std::vector<int64_t> left, right;
    std::vector<float> weight;
    for (int i = 0; i < taps.to; ++i) {
      left.push_back(taps.first[i]);
      right.push_back(std::min(taps.first[i] + 1, taps.from.pixels - 1));
      weight.push_back(taps.weights[size_t{2} * i + 1]);
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

// Any other resize on a device, by matrix products, for any number of pixels that contribute to a
// result.
class DeviceResample : public DeviceTransform {
 public:
  DeviceResample(const Taps& rows, const Taps& columns, at::Device device)
      : rows_(Matrix(rows).to(device)), columns_(Matrix(columns).to(device)) {}

  at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const override {
    return ResampleOnDevice(images, rows_, columns_);
  }

 private:
  // Returns the weight of each pixel in each result, [1, results, pixels].
  static at::Tensor Matrix(const Taps& taps) {
    const at::Tensor matrix = at::zeros({1, taps.to, taps.from.pixels}, at::kFloat);
    auto* values = matrix.mutable_data_ptr<float>();
    for (int i = 0; i < taps.to; ++i) {
      std::copy_n(taps.weights.data() + static_cast<size_t>(i) * taps.count, taps.count,
                  values + static_cast<size_t>(i) * taps.from.pixels + taps.first[i]);
    }
    return matrix;
  }

  const at::Tensor rows_, columns_;
};

// The size to which images are resized: either height and width, or the length of one edge; the
// other edge then follows from the ratio of the image's sides.
struct Target {
  int height = 0, width = 0;
  // The length of the short edge (if `is_short`) or the long edge. 0: `height` and `width` are used
  // instead.
  int edge = 0;
  bool is_short = true;

  ImageShape Of(const ImageShape& image) const {
    if (edge == 0) return {image.channels, height, width};
    if (!image.has_size()) return {image.channels, 0, 0};
    // The length of the other edge is rounded down, but is at least 1 pixel.
    const auto other = [&](int64_t of, int64_t to) {
      return std::max(1, static_cast<int>(edge * of / to));
    };
    if ((image.width < image.height) == is_short) {
      return {image.channels, other(image.height, image.width), edge};
    }
    return {image.channels, edge, other(image.width, image.height)};
  }
};

class Resize : public ResizingTransform {
 public:
  Resize(const ImageShape& input, const Target& target, const Resampling& resampling)
      : ResizingTransform(resampling), input_(input), target_(target) {}

  ImageShape output() const override { return target_.Of(input_); }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return target_.Of(image);
  }

  bool on_device() const override { return !resampling().rounded; }
  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override {
    Taps rows, columns;
    MakeTaps(resampling(), WholePixels(input_.height), output().height, &rows);
    MakeTaps(resampling(), WholePixels(input_.width), output().width, &columns);
    if (resampling() == Resampling()) return std::make_unique<DeviceLinear>(rows, columns, device);
    return std::make_unique<DeviceResample>(rows, columns, device);
  }

 protected:
  ImageRectangle PartOf(const ImageShape& image, const int64_t* draws) const override {
    return {0, 0, image.height, image.width};
  }

 private:
  const ImageShape input_;
  const Target target_;
};

}  // namespace

std::unique_ptr<Transform> MakeResize(const ResizeConfig& config, const ImageShape& input,
                                      const Problems& problems) {
  const std::optional<ImageShape> size = ReadSize(config, problems);
  const std::optional<Resampling> resampling = ReadResampling(config, problems);
  if (!size.has_value() || !resampling.has_value()) return nullptr;
  return std::make_unique<Resize>(input, Target{size->height, size->width}, *resampling);
}

std::unique_ptr<Transform> MakeResizeEdge(const ResizeEdgeConfig& config, const ImageShape& input,
                                          const Problems& problems) {
  const std::optional<Resampling> resampling = ReadResampling(config, problems);
  if (!config.has_size()) {
    problems.Error("size", "is not set");
    return nullptr;
  }
  if (!problems.InRange("size", config.size(), 1, 8192) || !resampling.has_value()) return nullptr;
  Target target;
  target.edge = config.size();
  target.is_short = config.edge() == ResizeEdgeConfig::SHORT;
  return std::make_unique<Resize>(input, target, *resampling);
}

}  // namespace finetune
