#include "src/data/transforms/gaussian_blur.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/data/transforms/rounding.h"

namespace finetune {
namespace {

constexpr int kLargestKernel = 127;

// Adds weight * values[i] to sum[i].
FT_VECTORISED void AddScaled(const float* __restrict values, float weight, size_t n,
                             float* __restrict sum) {
  for (size_t i = 0; i < n; ++i) sum[i] += weight * values[i];
}

// Returns which pixel of an axis of `size` pixels is used for the position `i`, which may lie
// beyond the ends. There the image is mirrored, as often as needed, without repeating the end
// pixel: position -1 uses pixel 1.
int Mirrored(int i, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1);
  i = (i % period + period) % period;
  return std::min(i, period - i);
}

class GaussianBlur : public Transform {
 public:
  GaussianBlur(const ImageShape& input, const GaussianBlurConfig& config)
      : input_(input),
        kernel_size_(config.kernel_size()),
        min_sigma_(config.min_sigma()),
        max_sigma_(config.max_sigma()),
        probability_(config.probability()) {}

  ImageShape output() const override { return input_; }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return image;
  }

  int draws() const override { return 1; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    double sigma = 0;
    if (random->Uniform() < probability_) {
      sigma = min_sigma_ + (max_sigma_ - min_sigma_) * random->Uniform();
    }
    *draws = std::bit_cast<int64_t>(sigma);
  }

  // Blurs first along the rows: each blurred row goes to `scratch`. Then it blurs along the
  // columns: each row of the result is a weighted sum of these rows.
  void Apply(const int64_t* draws, Image* image) const override {
    const auto sigma = std::bit_cast<double>(*draws);
    if (sigma == 0) return;
    const auto [c, height, width] = image->shape;
    const int reach = kernel_size_ / 2;
    std::array<float, kLargestKernel> weights;
    double sum = 0;
    for (int k = -reach; k <= reach; ++k) sum += std::exp(-0.5 * k * k / (sigma * sigma));
    for (int k = -reach; k <= reach; ++k) {
      weights[k + reach] = static_cast<float>(std::exp(-0.5 * k * k / (sigma * sigma)) / sum);
    }
    const size_t n = static_cast<size_t>(width) * c;
    const size_t pixels = n * height;
    // `scratch` holds all blurred rows, then one row of the image padded with mirrored pixels.
    image->scratch.assign(pixels + n + size_t{2} * reach * c, 0);
    float* padded = image->scratch.data() + pixels;
    for (int y = 0; y < height; ++y) {
      const float* row = image->values.data() + y * n;
      for (int x = -reach; x < width + reach; ++x) {
        std::copy_n(row + static_cast<size_t>(Mirrored(x, width)) * c, c,
                    padded + static_cast<size_t>(x + reach) * c);
      }
      for (int k = 0; k < kernel_size_; ++k) {
        AddScaled(padded + static_cast<size_t>(k) * c, weights[k], n,
                  image->scratch.data() + y * n);
      }
    }
    image->next.assign(pixels, 0);
    for (int y = 0; y < height; ++y) {
      for (int k = 0; k < kernel_size_; ++k) {
        AddScaled(image->scratch.data() + Mirrored(y + k - reach, height) * n, weights[k], n,
                  image->next.data() + y * n);
      }
    }
    std::swap(image->values, image->next);
  }

  bool on_device() const override { return false; }
  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override { return nullptr; }

 private:
  const ImageShape input_;
  const int kernel_size_;
  const double min_sigma_, max_sigma_;
  const float probability_;
};

}  // namespace

std::unique_ptr<Transform> MakeGaussianBlur(const GaussianBlurConfig& config,
                                            const ImageShape& input, const Problems& problems) {
  bool right = problems.InRange("probability", config.probability(), 0, 1);
  if (!config.has_kernel_size()) {
    problems.Error("kernel_size", "is not set");
    right = false;
  } else if (config.kernel_size() < 1 || config.kernel_size() > kLargestKernel ||
             config.kernel_size() % 2 == 0) {
    problems.WrongValue("kernel_size",
                        absl::StrCat("is ", config.kernel_size(),
                                     "; expected an odd number of 1 to ", kLargestKernel));
    right = false;
  }
  bool sigmas = problems.Positive("min_sigma", config.min_sigma());
  sigmas = problems.InRange("max_sigma", config.max_sigma(), 0, 1e4) && sigmas;
  right = sigmas &&
          problems.NotBelow("max_sigma", config.max_sigma(), "min_sigma", config.min_sigma()) &&
          right;
  return right ? std::make_unique<GaussianBlur>(input, config) : nullptr;
}

}  // namespace finetune
