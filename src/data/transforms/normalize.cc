#include "src/data/transforms/normalize.h"

#include <ATen/ops/addcmul.h>
#include <ATen/ops/tensor.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/data/transforms/rounding.h"

namespace finetune {
namespace {

// The factors of the channels, repeated: a period that has whole images' pixels and whole vectors
// on every processor, so that a vector instruction finds its factors side by side.
constexpr int kPeriod = 48;
using Factors = std::array<float, kPeriod>;

Factors Repeated(const std::array<float, 3>& factors, int channels) {
  Factors repeated;
  for (int i = 0; i < kPeriod; ++i) repeated[i] = factors[i % channels];
  return repeated;
}

FT_VECTORISED void ScaleAndShift(const float* __restrict in, int n, const Factors& scale,
                                 const Factors& shift, float* __restrict out) {
  int i = 0;
  for (; i + kPeriod <= n; i += kPeriod) {
    for (int k = 0; k < kPeriod; ++k) out[i + k] = in[i + k] * scale[k] + shift[k];
  }
  for (int k = 0; i + k < n; ++k) out[i + k] = in[i + k] * scale[k] + shift[k];
}

PixelStatistics StatisticsOf(NormalizeConfig::Preset preset) {
  // The switch has no default case, so that the compiler warns if a new preset is missing here.
  switch (preset) {
    case NormalizeConfig::IMAGENET:
      return {{123.675, 116.28, 103.53}, {58.395, 57.12, 57.375}};
    case NormalizeConfig::INCEPTION:
      return {{127.5, 127.5, 127.5}, {127.5, 127.5, 127.5}};
    case NormalizeConfig::CLIP:
      return {{0.48145466 * 255, 0.4578275 * 255, 0.40821073 * 255},
              {0.26862954 * 255, 0.26130258 * 255, 0.27577711 * 255}};
  }
  return {};
}

}  // namespace

bool HasOwnStatistics(const NormalizeConfig& config) {
  return config.has_preset() || config.mean_size() > 0 || config.std_size() > 0;
}

PixelStatistics Spread(PixelStatistics statistics, int channels) {
  if (statistics.mean.size() == 1 && statistics.std.size() == 1) {
    statistics.mean.assign(channels, double{statistics.mean[0]});
    statistics.std.assign(channels, double{statistics.std[0]});
  }
  return statistics;
}

std::optional<Normalize> Normalize::Create(const NormalizeConfig& config, int channels,
                                           const PixelStatistics* otherwise,
                                           const Problems& problems) {
  bool right = true;
  const auto wrong = [&](const std::string& text) {
    problems.Error("", text);
    right = false;
  };
  const bool has_own = HasOwnStatistics(config);
  if (config.has_preset() && config.mean_size() + config.std_size() > 0) {
    wrong("has a preset as well as mean and std; expected one of both");
  } else if (config.has_preset() && channels > 0 && channels != 3) {
    problems.Error("preset", absl::StrCat("is for 3 channels; the images have ", channels,
                                          " here: give mean and std instead"));
    right = false;
  } else if (config.mean_size() != config.std_size()) {
    wrong(absl::StrCat("has ", config.mean_size(), " values of mean and ", config.std_size(),
                       " of std; expected one a channel of each"));
  } else if (config.mean_size() > 0 && channels > 0 && config.mean_size() != channels) {
    wrong(absl::StrCat("has ", config.mean_size(), " values of mean; the images have ", channels,
                       " channels here"));
  } else if (!has_own && channels > 0 && otherwise != nullptr &&
             (otherwise->mean.size() != static_cast<size_t>(channels) ||
              otherwise->std.size() != otherwise->mean.size())) {
    wrong(absl::StrCat("takes the mean and std of the training images, which have ",
                       otherwise->mean.size(), " channel", otherwise->mean.size() == 1 ? "" : "s",
                       "; the images here have ", channels));
  }
  for (int i = 0; i < config.mean_size(); ++i) {
    right = problems.Finite(absl::StrCat("mean[", i, "]"), config.mean(i)) && right;
  }
  for (int i = 0; i < config.std_size(); ++i) {
    right = problems.Positive(absl::StrCat("std[", i, "]"), config.std(i)) && right;
  }
  if (!right) return std::nullopt;
  Normalize normalize;
  if (config.has_preset()) {
    normalize.statistics_ = StatisticsOf(config.preset());
  } else if (has_own) {
    normalize.statistics_ = {{config.mean().begin(), config.mean().end()},
                             {config.std().begin(), config.std().end()}};
  } else if (otherwise != nullptr) {
    normalize.statistics_ = *otherwise;
  }
  const PixelStatistics& statistics = normalize.statistics_;
  for (size_t c = 0; channels > 0 && c < statistics.mean.size(); ++c) {
    normalize.scale_[c] = static_cast<float>(1 / statistics.std[c]);
    normalize.shift_[c] = static_cast<float>(-statistics.mean[c] / statistics.std[c]);
  }
  return normalize;
}

void Normalize::Write(Image* image, float* out) const {
  const int channels = image->shape.channels;
  ScaleAndShift(image->values.data(), static_cast<int>(image->values.size()),
                Repeated(scale_, channels), Repeated(shift_, channels), out);
}

void Normalize::Write(Image* image, Bfloat16* out) const {
  image->next.resize(image->values.size());
  Write(image, image->next.data());
  RoundAll(image->next.data(), image->next.size(), Raw(out));
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
