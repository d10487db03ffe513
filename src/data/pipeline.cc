#include "src/data/pipeline.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/data/philox.h"

// Loops that the compiler vectorises, built for each instruction set and chosen when the program
// starts.
#define FT_VECTORISED __attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4")))

namespace finetune {
namespace {

inline uint16_t RoundToBfloat16(float value) {
  // To nearest, ties to even; pictures hold no NaN.
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// out[i] = a[i] + weight * (b[i] - a[i])
FT_VECTORISED void BlendRows(const float* __restrict a, const float* __restrict b, float weight,
                             int n, float* __restrict out) {
  for (int i = 0; i < n; ++i) out[i] = a[i] + weight * (b[i] - a[i]);
}
FT_VECTORISED void BlendRows(const float* __restrict a, const float* __restrict b, float weight,
                             int n, uint16_t* __restrict out) {
  for (int i = 0; i < n; ++i) out[i] = RoundToBfloat16(a[i] + weight * (b[i] - a[i]));
}

FT_VECTORISED void ScaleAndShift(const float* __restrict in, int n, int channels,
                                 const float* __restrict scale, const float* __restrict shift,
                                 float* __restrict out) {
  for (int i = 0; i < n; ++i) {
    const int c = i % channels;
    out[i] = in[i] * scale[c] + shift[c];
  }
}

FT_VECTORISED void Round(const float* __restrict in, int n, uint16_t* __restrict out) {
  for (int i = 0; i < n; ++i) out[i] = RoundToBfloat16(in[i]);
}

uint16_t* Raw(Bfloat16* out) { return &out->bits; }
float* Raw(float* out) { return out; }

}  // namespace

std::vector<Pipeline::Tap> Pipeline::MakeTaps(int from, int to) {
  std::vector<Tap> taps(to);
  const double scale = static_cast<double>(from) / to;
  for (int i = 0; i < to; ++i) {
    const double at = std::max(0.0, (i + 0.5) * scale - 0.5);
    const int left = std::min(static_cast<int>(at), from - 1);
    taps[i] = {left, std::min(left + 1, from - 1), static_cast<float>(at - left)};
  }
  return taps;
}

absl::StatusOr<Pipeline> Pipeline::Create(
    const google::protobuf::RepeatedPtrField<TransformConfig>& steps,
    const DatasetManifest& manifest, const PixelStatistics* statistics) {
  Pipeline p;
  p.channels_ = p.in_channels_ = manifest.channels();
  // Grey that was made of red, green and blue.
  bool mixed = false;
  int height = p.in_height_ = manifest.height();
  int width = p.in_width_ = manifest.width();
  const auto add_crop = [&](const char* name, int size, int padding, float value,
                            bool random) -> absl::Status {
    if (size < 1 || padding < 0 || size > height + 2 * padding || size > width + 2 * padding) {
      return absl::InvalidArgumentError(absl::StrCat(name, " of ", size,
                                                     " does not fit a picture of ", height, "x",
                                                     width, " with padding ", padding));
    }
    p.steps_.emplace_back(Crop{height, width, size, padding, value, random});
    p.draws_ += 2;
    height = width = size;
    return absl::OkStatus();
  };
  for (int i = 0; i < steps.size(); ++i) {
    const TransformConfig& step = steps[i];
    switch (step.kind_case()) {
      case TransformConfig::kRandomCrop:
        FT_RETURN_IF_ERROR(add_crop("random_crop", step.random_crop().size(),
                                    step.random_crop().padding(),
                                    static_cast<float>(step.random_crop().pad_value()), true));
        break;
      case TransformConfig::kCenterCrop:
        FT_RETURN_IF_ERROR(add_crop("center_crop", step.center_crop().size(), 0, 0, false));
        break;
      case TransformConfig::kRandomFlip:
        p.steps_.emplace_back(Flip{step.random_flip().probability()});
        ++p.draws_;
        break;
      case TransformConfig::kResize: {
        const ResizeConfig& resize = step.resize();
        const int to_height = resize.has_size() ? resize.size() : resize.height();
        const int to_width = resize.has_size() ? resize.size() : resize.width();
        if (to_height < 1 || to_width < 1) {
          return absl::InvalidArgumentError("resize needs a size of 1 or more");
        }
        p.steps_.emplace_back(Resize{MakeTaps(height, to_height), MakeTaps(width, to_width)});
        height = to_height;
        width = to_width;
        break;
      }
      case TransformConfig::kGrayscale: {
        const int to = step.grayscale().channels();
        if (to != 1 && to != 3) {
          return absl::InvalidArgumentError(
              absl::StrCat("grayscale.channels is ", to, "; expected 1 or 3"));
        }
        mixed = mixed || p.channels_ == 3;
        if (p.channels_ == 3 || to == 3) p.steps_.emplace_back(Grayscale{p.channels_, to});
        p.channels_ = to;
        break;
      }
      case TransformConfig::kNormalize: {
        if (i + 1 != steps.size()) {
          return absl::InvalidArgumentError("normalize must be the pipeline's last step");
        }
        const NormalizeConfig& normalize = step.normalize();
        const bool own = normalize.mean_size() > 0;
        if (own && (normalize.mean_size() != p.channels_ || normalize.std_size() != p.channels_)) {
          return absl::InvalidArgumentError(absl::StrCat(
              "normalize needs one mean and one std for each of ", p.channels_, " channels"));
        }
        if (!own && mixed) {
          return absl::InvalidArgumentError(
              "normalize {} has the mean and std of stored red, green and blue, not those of the "
              "grey that grayscale makes of them; give normalize its mean and std");
        }
        if (own) {
          p.statistics_ = {{normalize.mean().begin(), normalize.mean().end()},
                           {normalize.std().begin(), normalize.std().end()}};
        } else if (statistics != nullptr) {
          p.statistics_ = *statistics;
        } else {
          p.statistics_ = {{manifest.mean().begin(), manifest.mean().end()},
                           {manifest.std().begin(), manifest.std().end()}};
        }
        // Grey that was spread has one mean for all channels.
        if (p.in_channels_ == 1 && p.statistics_.mean.size() == 1) {
          p.statistics_.mean.resize(p.channels_, p.statistics_.mean[0]);
          p.statistics_.std.resize(p.channels_, p.statistics_.std[0]);
        }
        if (p.statistics_.mean.size() != static_cast<size_t>(p.channels_)) {
          return absl::InvalidArgumentError(absl::StrCat(
              "normalize {} takes a mean and std of ", p.statistics_.mean.size(),
              " channels, those of the training pictures; the pictures here have ", p.channels_));
        }
        for (int c = 0; c < p.channels_; ++c) {
          p.scale_[c] = static_cast<float>(1 / p.statistics_.std[c]);
          p.shift_[c] = static_cast<float>(-p.statistics_.mean[c] / p.statistics_.std[c]);
        }
        break;
      }
      case TransformConfig::KIND_NOT_SET:
        return absl::InvalidArgumentError(absl::StrCat("pipeline[", i, "] is empty"));
    }
  }
  p.out_height_ = height;
  p.out_width_ = width;
  return p;
}

template <typename T>
void Pipeline::ResizeTo(const Resize& resize, const float* in, int in_width, int c,
                        const float* scale, const float* shift, Scratch* scratch, T* out) {
  const int row = static_cast<int>(resize.columns.size()) * c;
  // Upsampling reads each source row many times: widen and normalise it once, then only blend rows.
  const int source_rows = resize.rows.back().right + 1;
  scratch->rows.resize(static_cast<size_t>(source_rows) * row);
  int next = 0;
  for (int y = 0; y < source_rows; ++y) {
    const float* source = in + static_cast<size_t>(y) * in_width * c;
    float* widened = scratch->rows.data() + static_cast<size_t>(next++) * row;
    for (size_t x = 0; x < resize.columns.size(); ++x) {
      const Tap& tap = resize.columns[x];
      for (int k = 0; k < c; ++k) {
        const float left = source[tap.left * c + k];
        const float value = left + tap.weight * (source[tap.right * c + k] - left);
        widened[x * c + k] = value * scale[k] + shift[k];
      }
    }
  }
  for (size_t y = 0; y < resize.rows.size(); ++y) {
    const Tap& tap = resize.rows[y];
    BlendRows(scratch->rows.data() + static_cast<size_t>(tap.left) * row,
              scratch->rows.data() + static_cast<size_t>(tap.right) * row, tap.weight, row,
              Raw(out + y * row));
  }
}

void Pipeline::Draw(uint64_t seed, int64_t epoch, int64_t index, int64_t* draws) const {
  RandomStream random(seed, RandomPurpose::kAugmentation, static_cast<uint32_t>(epoch),
                      static_cast<uint64_t>(index));
  for (const Step& step : steps_) {
    if (const auto* crop = std::get_if<Crop>(&step)) {
      for (const int from : {crop->from_height, crop->from_width}) {
        const int slack = from + 2 * crop->padding - crop->size;
        *draws++ = crop->random ? static_cast<int64_t>(random.Below(slack + 1)) : slack / 2;
      }
    } else if (const auto* flip = std::get_if<Flip>(&step)) {
      *draws++ = random.Uniform() < flip->probability ? 1 : 0;
    }
  }
}

template <typename T>
void Pipeline::Apply(absl::Span<const uint8_t> pixels, const int64_t* draws, Scratch* scratch,
                     T* out) const {
  int c = in_channels_;
  int height = in_height_, width = in_width_;
  std::vector<float>* now = &scratch->a;
  std::vector<float>* other = &scratch->b;
  now->assign(pixels.begin(), pixels.end());
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (const auto* crop = std::get_if<Crop>(&steps_[i])) {
      const int top = static_cast<int>(*draws++);
      const int left = static_cast<int>(*draws++);
      other->assign(static_cast<size_t>(crop->size) * crop->size * c, crop->pad_value);
      const int x0 = std::max(0, crop->padding - left);
      const int x1 = std::min(crop->size, crop->padding - left + width);
      for (int y = 0; y < crop->size && x0 < x1; ++y) {
        const int from = y + top - crop->padding;
        if (from < 0 || from >= height) continue;
        const float* source =
            now->data() + (static_cast<size_t>(from) * width + x0 + left - crop->padding) * c;
        std::copy_n(source, static_cast<size_t>(x1 - x0) * c,
                    other->data() + (static_cast<size_t>(y) * crop->size + x0) * c);
      }
      std::swap(now, other);
      height = width = crop->size;
    } else if (std::holds_alternative<Flip>(steps_[i])) {
      if (*draws++ == 0) continue;
      for (int y = 0; y < height; ++y) {
        float* line = now->data() + static_cast<size_t>(y) * width * c;
        for (int64_t x = 0; x < width / 2; ++x) {
          std::swap_ranges(line + x * c, line + (x + 1) * c, line + (width - 1 - x) * c);
        }
      }
    } else if (const auto* grey = std::get_if<Grayscale>(&steps_[i])) {
      const size_t n = size_t{1} * height * width;
      other->resize(n * grey->to);
      for (size_t k = 0; k < n; ++k) {
        const float* pixel = now->data() + k * c;
        const float value =
            c == 1 ? pixel[0] : kLuma[0] * pixel[0] + kLuma[1] * pixel[1] + kLuma[2] * pixel[2];
        std::fill_n(other->data() + k * grey->to, grey->to, value);
      }
      std::swap(now, other);
      c = grey->to;
    } else {
      const Resize& resize = std::get<Resize>(steps_[i]);
      const int in_width = width;
      height = static_cast<int>(resize.rows.size());
      width = static_cast<int>(resize.columns.size());
      if (i + 1 == steps_.size()) {
        ResizeTo(resize, now->data(), in_width, c, scale_.data(), shift_.data(), scratch, out);
        return;
      }
      constexpr std::array<float, 3> kOne = {1, 1, 1}, kZero = {0, 0, 0};
      other->resize(static_cast<size_t>(height) * width * c);
      ResizeTo(resize, now->data(), in_width, c, kOne.data(), kZero.data(), scratch, other->data());
      std::swap(now, other);
    }
  }
  const int n = height * width * c;
  if constexpr (std::is_same_v<T, float>) {
    ScaleAndShift(now->data(), n, c, scale_.data(), shift_.data(), out);
  } else {
    ScaleAndShift(now->data(), n, c, scale_.data(), shift_.data(), now->data());
    Round(now->data(), n, Raw(out));
  }
}

template void Pipeline::Apply<float>(absl::Span<const uint8_t>, const int64_t*, Scratch*,
                                     float*) const;
template void Pipeline::Apply<Bfloat16>(absl::Span<const uint8_t>, const int64_t*, Scratch*,
                                        Bfloat16*) const;

}  // namespace finetune
