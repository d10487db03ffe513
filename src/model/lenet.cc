#include "src/model/lenet.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/model/builder.h"

namespace finetune {
namespace {

constexpr int64_t kSide = 32;

// A layer with a bias.
struct Affine {
  at::Tensor weight, bias;
};

class LeNet5 : public Classifier {
 public:
  LeNet5(const ModelConfig& config, const ClassifierOptions& options) {
    ModelBuilder make(options, &parameters_, &buffers_);
    // PyTorch's default initialisation: uniform within 1 / sqrt(fan-in).
    const auto affine = [&](const std::string& name, at::IntArrayRef shape) {
      int64_t fan_in = 1;
      for (size_t i = 1; i < shape.size(); ++i) fan_in *= shape[i];
      const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
      return Affine{make.MakeUniform(name + ".weight", shape, bound),
                    make.MakeUniform(name + ".bias", {shape[0]}, bound)};
    };
    conv1_ = affine("backbone.features.0", {6, 1, 5, 5});
    conv2_ = affine("backbone.features.3", {16, 6, 5, 5});
    conv3_ = affine("backbone.features.6", {120, 16, 5, 5});
    fc1_ = affine("backbone.classifier.0", {84, 120});
    fc2_ = affine("backbone.classifier.2", {config.head().num_classes(), 84});
  }

  absl::Status CheckInput(int64_t channels, int64_t height, int64_t width) const override {
    if (channels == 1 && height == kSide && width == kSide) return absl::OkStatus();
    const char* size_advice = height == kSide && width == kSide
                                  ? ""
                                  : "; end the pipeline with a resize or crop to size 32";
    return absl::InvalidArgumentError(absl::StrCat(
        "found pictures of ", height, "x", width, " with ", channels, " channel",
        channels == 1 ? "" : "s", "; LeNet-5 takes pictures of 32x32 with 1 channel", size_advice));
  }

  // It has no batch norm.
  int64_t LeastBatchNormValues(int64_t /*height*/, int64_t /*width*/) const override { return 0; }

  at::Tensor Forward(const at::Tensor& images, bool training) override {
    const at::AutoGradMode gradients(training && at::GradMode::is_enabled());
    at::Tensor x = Input(images, at::kFloat);
    x = at::avg_pool2d(at::tanh(at::conv2d(x, conv1_.weight, conv1_.bias)), 2, 2);
    x = at::avg_pool2d(at::tanh(at::conv2d(x, conv2_.weight, conv2_.bias)), 2, 2);
    x = at::tanh(at::conv2d(x, conv3_.weight, conv3_.bias)).flatten(1);
    return at::linear(at::tanh(at::linear(x, fc1_.weight, fc1_.bias)), fc2_.weight, fc2_.bias);
  }

  void ParametersChanged(bool /*all*/) override {}

 private:
  Affine conv1_, conv2_, conv3_, fc1_, fc2_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Classifier>> MakeLeNet5(const ModelConfig& config,
                                                       const ClassifierOptions& options) {
  if (config.backbone().frozen_stages() != -1) {
    return absl::InvalidArgumentError(
        "model.backbone.frozen_stages: LeNet-5 has no stages to freeze");
  }
  return std::unique_ptr<Classifier>(std::make_unique<LeNet5>(config, options));
}

}  // namespace finetune
