#include "src/data/device_pipeline.h"

#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <array>
#include <variant>

namespace finetune {
namespace {

// Of [n, H, W, C].
constexpr int64_t kRows = 1, kColumns = 2, kChannels = 3;

}  // namespace

DevicePipeline::DevicePipeline(const Pipeline& pipeline, at::Device device, at::ScalarType type)
    : pipeline_(pipeline), type_(type) {
  const auto axis = [&](const std::vector<Pipeline::Tap>& taps) {
    std::vector<int64_t> left, right;
    std::vector<float> weight;
    for (const Pipeline::Tap& tap : taps) {
      left.push_back(tap.left);
      right.push_back(tap.right);
      weight.push_back(tap.weight);
    }
    return Axis{at::tensor(left).to(device), at::tensor(right).to(device),
                at::tensor(weight).to(device)};
  };
  for (const Pipeline::Step& step : pipeline.steps()) {
    Constants& constants = constants_.emplace_back();
    if (const auto* crop = std::get_if<Pipeline::Crop>(&step)) {
      constants.window = at::arange(crop->size, at::TensorOptions(at::kLong).device(device));
    } else if (const auto* resize = std::get_if<Pipeline::Resize>(&step)) {
      constants.rows = axis(resize->rows);
      constants.columns = axis(resize->columns);
    }
  }
  const auto channels = static_cast<size_t>(pipeline.channels());
  const auto per_channel = [&](const std::array<float, 3>& values) {
    return at::tensor(at::ArrayRef<float>(values.data(), channels)).to(device);
  };
  scale_ = per_channel(pipeline.scale());
  shift_ = per_channel(pipeline.shift());
}

at::Tensor DevicePipeline::Crop(const at::Tensor& x, const Pipeline::Crop& crop,
                                const at::Tensor& window, const at::Tensor& top,
                                const at::Tensor& left) {
  const int64_t p = crop.padding;
  const at::Tensor padded = p == 0 ? x : at::constant_pad_nd(x, {0, 0, p, p, p, p}, crop.pad_value);
  // Indices [n, 1, 1], [n, size, 1] and [n, 1, size] of pictures, rows and columns.
  const at::Tensor pictures = at::arange(x.size(0), window.options()).view({-1, 1, 1});
  const at::Tensor rows = (top.unsqueeze(1) + window).unsqueeze(2);
  const at::Tensor columns = (left.unsqueeze(1) + window).unsqueeze(1);
  return padded.index({pictures, rows, columns});
}

at::Tensor DevicePipeline::Resize(const at::Tensor& x, int64_t dimension, const Axis& axis) {
  std::vector<int64_t> along = {1, 1, 1, 1};
  along[dimension] = axis.weight.numel();
  return x.index_select(dimension, axis.left)
      .lerp(x.index_select(dimension, axis.right), axis.weight.view(along));
}

at::Tensor DevicePipeline::Grayscale(const at::Tensor& x, const Pipeline::Grayscale& grey) {
  at::Tensor value = x;
  if (grey.from == 3) {
    const auto part = [&](int64_t c) { return x.narrow(kChannels, c, 1) * Pipeline::kLuma[c]; };
    value = part(0) + part(1) + part(2);
  }
  return value.expand({-1, -1, -1, grey.to});
}

at::Tensor DevicePipeline::Normalise(const at::Tensor& x) const {
  return at::addcmul(shift_, x, scale_);
}

at::Tensor DevicePipeline::Apply(const at::Tensor& pixels, const at::Tensor& draws) const {
  const at::NoGradGuard no_grad;
  at::Tensor x = pixels.permute({0, 2, 3, 1}).to(at::kFloat);
  int64_t draw = 0;
  bool normalised = false;
  for (size_t i = 0; i < constants_.size(); ++i) {
    const Pipeline::Step& step = pipeline_.steps()[i];
    if (const auto* crop = std::get_if<Pipeline::Crop>(&step)) {
      x = Crop(x, *crop, constants_[i].window, draws.select(1, draw), draws.select(1, draw + 1));
      draw += 2;
    } else if (std::holds_alternative<Pipeline::Flip>(step)) {
      x = at::where(draws.select(1, draw++).view({-1, 1, 1, 1}) != 0, x.flip(kColumns), x);
    } else if (const auto* grey = std::get_if<Pipeline::Grayscale>(&step)) {
      x = Grayscale(x, *grey);
    } else {
      // Weights of neighbours add up to 1: a normalised picture is resized as well, and is smaller.
      normalised = i + 1 == constants_.size();
      if (normalised) x = Normalise(x);
      x = Resize(x, kColumns, constants_[i].columns);
      x = Resize(x, kRows, constants_[i].rows);
    }
  }
  if (!normalised) x = Normalise(x);
  return x.to(type_).contiguous().permute({0, 3, 1, 2});
}

}  // namespace finetune
