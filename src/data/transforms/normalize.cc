#include "src/data/transforms/normalize.h"

#include <ATen/ops/addcmul.h>
#include <ATen/ops/tensor.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "src/data/transforms/rounding.h"

namespace finetune {
namespace {

FT_VECTORISED void ScaleAndShift(const float* __restrict in, int n, int channels,
                                 const float* __restrict scale, const float* __restrict shift,
                                 float* __restrict out) {
  for (int i = 0; i < n; ++i) {
    const int c = i % channels;
    out[i] = in[i] * scale[c] + shift[c];
  }
}

FT_VECTORISED void Round(const float* __restrict in, int n, uint16_t* __restrict out) {
  for (int i = 0; i < n; ++i) out[i] = ToBfloat16(in[i]);
}

}  // namespace

PixelStatistics Spread(PixelStatistics statistics, int channels) {
  if (statistics.mean.size() == 1 && statistics.std.size() == 1) {
    statistics.mean.assign(channels, double{statistics.mean[0]});
    statistics.std.assign(channels, double{statistics.std[0]});
  }
  return statistics;
}

absl::StatusOr<Normalize> Normalize::Create(const NormalizeConfig& config, int channels,
                                            const PixelStatistics& otherwise) {
  Normalize normalize;
  PixelStatistics& statistics = normalize.statistics_;
  statistics = otherwise;
  if (config.mean_size() > 0) {
    statistics = {{config.mean().begin(), config.mean().end()},
                  {config.std().begin(), config.std().end()}};
  }
  const auto expected = static_cast<size_t>(channels);
  if (statistics.mean.size() != expected || statistics.std.size() != expected) {
    if (config.mean_size() > 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("normalize needs one mean and one std for each of ", channels, " channels"));
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "normalize {} takes a mean and std of ", statistics.mean.size(),
        " channels, those of the training pictures; the pictures here have ", channels));
  }
  for (int c = 0; c < channels; ++c) {
    normalize.scale_[c] = static_cast<float>(1 / statistics.std[c]);
    normalize.shift_[c] = static_cast<float>(-statistics.mean[c] / statistics.std[c]);
  }
  return normalize;
}

void Normalize::Write(Image* image, float* out) const {
  ScaleAndShift(image->values.data(), static_cast<int>(image->values.size()), image->shape.channels,
                scale_.data(), shift_.data(), out);
}

void Normalize::Write(Image* image, Bfloat16* out) const {
  const int n = static_cast<int>(image->values.size());
  image->next.resize(n);
  ScaleAndShift(image->values.data(), n, image->shape.channels, scale_.data(), shift_.data(),
                image->next.data());
  Round(image->next.data(), n, Raw(out));
}

DeviceNormalize::DeviceNormalize(const Normalize& normalize, int channels, at::Device device) {
  const auto per_channel = [&](const std::array<float, 3>& values) {
    return at::tensor(at::ArrayRef<float>(values.data(), static_cast<size_t>(channels))).to(device);
  };
  scale_ = per_channel(normalize.scale());
  shift_ = per_channel(normalize.shift());
}

at::Tensor DeviceNormalize::Apply(const at::Tensor& images) const {
  return at::addcmul(shift_, images, scale_);
}

}  // namespace finetune
