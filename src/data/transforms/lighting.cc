#include "src/data/transforms/lighting.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/data/transforms/normal.h"

namespace finetune {
namespace {

constexpr int kAxes = 3;

// The eigenvalues and eigenvectors of ImageNet's colours, from mmpretrain's configs. A row has the
// components of the three vectors for one channel.
constexpr std::array<float, kAxes> kEigenvalues = {55.4625f, 4.7940f, 1.1475f};
constexpr std::array<float, 3 * kAxes> kEigenvectors = {
    -0.5675f, 0.7192f,  0.4009f,   // red
    -0.5808f, -0.0045f, -0.8140f,  // green
    -0.5836f, -0.6948f, 0.4203f,   // blue
};

// [channel][axis]: the axis's eigenvalue times its eigenvector's component for the channel.
using Axes = std::array<std::array<float, kAxes>, 3>;

class DeviceLighting : public DeviceTransform {
 public:
  DeviceLighting(const Axes& axes, at::Device device) {
    std::vector<float> by_axis;
    for (int k = 0; k < kAxes; ++k) {
      for (const auto& channel : axes) by_axis.push_back(channel[k]);
    }
    axes_ = at::tensor(by_axis).view({kAxes, 3}).to(device);
  }

  at::Tensor Apply(const at::Tensor& images, const at::Tensor& draws) const override {
    const at::Tensor alphas = draws.contiguous().view(at::kDouble).to(at::kFloat);
    return at::clamp(images + at::matmul(alphas, axes_).view({-1, 1, 1, 3}), 0, 255);
  }

 private:
  at::Tensor axes_;  // [axis, channel]
};

class Lighting : public Transform {
 public:
  Lighting(const ImageShape& input, float alpha_std, const Axes& axes)
      : input_(input), alpha_std_(alpha_std), axes_(axes) {}

  ImageShape output() const override { return input_; }
  ImageShape OutputOf(const ImageShape& image, const int64_t* draws) const override {
    return image;
  }

  int draws() const override { return kAxes; }
  void Draw(RandomStream* random, const ImageShape& image, int64_t* draws) const override {
    Normal normal(random);
    for (int k = 0; k < kAxes; ++k) {
      draws[k] = std::bit_cast<int64_t>(double{alpha_std_} * normal.Next());
    }
  }

  void Apply(const int64_t* draws, Image* image) const override {
    std::array<float, 3> shift = {};
    for (int c = 0; c < 3; ++c) {
      double sum = 0;
      for (int k = 0; k < kAxes; ++k) sum += axes_[c][k] * std::bit_cast<double>(draws[k]);
      shift[c] = static_cast<float>(sum);
    }
    float* pixel = image->values.data();
    for (size_t i = 0; i < image->values.size(); i += 3, pixel += 3) {
      for (int c = 0; c < 3; ++c) pixel[c] = std::clamp(pixel[c] + shift[c], 0.0f, 255.0f);
    }
  }

  std::unique_ptr<DeviceTransform> OnDevice(at::Device device) const override {
    return std::make_unique<DeviceLighting>(axes_, device);
  }

 private:
  const ImageShape input_;
  const float alpha_std_;
  const Axes axes_;
};

}  // namespace

std::unique_ptr<Transform> MakeLighting(const LightingConfig& config, const ImageShape& input,
                                        const Problems& problems) {
  bool right = problems.AtLeast("alpha_std", config.alpha_std(), 0);
  if (input.channels > 0 && input.channels != 3) {
    problems.Error("",
                   absl::StrCat("is for 3 channels; the images have ", input.channels, " here"));
    right = false;
  }
  const auto read = [&](const char* field, const auto& from, auto* values) {
    if (from.empty()) return;
    if (from.size() != static_cast<int>(values->size())) {
      problems.Error(field,
                     absl::StrCat("has ", from.size(), " values; expected ", values->size()));
      right = false;
      return;
    }
    for (int i = 0; i < from.size(); ++i) {
      right = problems.Finite(absl::StrCat(field, "[", i, "]"), from.Get(i)) && right;
    }
    std::copy(from.begin(), from.end(), values->begin());
  };
  std::array<float, kAxes> eigenvalues = kEigenvalues;
  std::array<float, 3 * kAxes> eigenvectors = kEigenvectors;
  read("eigenvalue", config.eigenvalue(), &eigenvalues);
  read("eigenvector", config.eigenvector(), &eigenvectors);
  if (!right) return nullptr;
  Axes axes;
  for (int c = 0; c < 3; ++c) {
    for (int k = 0; k < kAxes; ++k) axes[c][k] = eigenvectors[c * kAxes + k] * eigenvalues[k];
  }
  return std::make_unique<Lighting>(input, config.alpha_std(), axes);
}

}  // namespace finetune
