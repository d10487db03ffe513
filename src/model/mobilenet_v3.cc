// Problem: MobileNetV3 (Howard et al. 2019). It has a 3x3 stem convolution, the blocks of
// inverted_residual.h with ReLU or hard-swish, a last 1x1 convolution, the average over the pixels,
// and a hidden linear layer with hard-swish. Some blocks have squeeze-and-excitation.
//
// Layout: a row of kLarge or kSmall is a block. Consecutive blocks with the same number of output
// channels are a stage. The hidden layer belongs to the last stage, so that its pretrained weights
// are loaded: only the last linear layer, which is the head, depends on the classes.
//
// Padding, epsilon and momentum are torchvision's, timm's or TensorFlow's. The config's field
// `origin` says which.
//
// Reference: torchvision, timm and mmpretrain. agreement_test.cc and tests/peers/backbones.sh
// compare with them.
#include "src/model/mobilenet_v3.h"

#include <ATen/ops/hardswish.h>
#include <ATen/ops/linear.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "src/model/inverted_residual.h"

namespace finetune {
namespace {

constexpr int64_t kStemWidth = 16;

// `width`: the channels of the depthwise convolution. `out`: the channels of the result.
struct Block {
  int64_t kernel, width, out;
  bool squeezes;
  Activation activation;
  int64_t stride;
};
constexpr Activation kRelu = Activation::kRelu, kSwish = Activation::kHardSwish;
constexpr Block kLarge[] = {
    {3, 16, 16, false, kRelu, 1},   {3, 64, 24, false, kRelu, 2},   {3, 72, 24, false, kRelu, 1},
    {5, 72, 40, true, kRelu, 2},    {5, 120, 40, true, kRelu, 1},   {5, 120, 40, true, kRelu, 1},
    {3, 240, 80, false, kSwish, 2}, {3, 200, 80, false, kSwish, 1}, {3, 184, 80, false, kSwish, 1},
    {3, 184, 80, false, kSwish, 1}, {3, 480, 112, true, kSwish, 1}, {3, 672, 112, true, kSwish, 1},
    {5, 672, 160, true, kSwish, 2}, {5, 960, 160, true, kSwish, 1}, {5, 960, 160, true, kSwish, 1},
};
constexpr Block kSmall[] = {
    {3, 16, 16, true, kRelu, 2},   {3, 72, 24, false, kRelu, 2},  {3, 88, 24, false, kRelu, 1},
    {5, 96, 40, true, kSwish, 2},  {5, 240, 40, true, kSwish, 1}, {5, 240, 40, true, kSwish, 1},
    {5, 120, 48, true, kSwish, 1}, {5, 144, 48, true, kSwish, 1}, {5, 288, 96, true, kSwish, 2},
    {5, 576, 96, true, kSwish, 1}, {5, 576, 96, true, kSwish, 1},
};

class MobileNetV3 final : public Backbone {
 public:
  explicit MobileNetV3(const BackboneConfig& config)
      : Backbone(config),
        large_(config.mobilenet_v3().variant() == MobileNetV3Config::LARGE),
        origin_(config.mobilenet_v3().origin()),
        origin_is_set_(config.mobilenet_v3().has_origin()),
        blocks_(large_ ? absl::Span<const Block>(kLarge) : absl::Span<const Block>(kSmall)) {
    int64_t width = 0;
    for (const Block& block : blocks_) {
      if (block.out != width) layers_.stages.emplace_back();
      width = block.out;
    }
    layers_.activation = Activation::kHardSwish;
  }

  std::string name() const override {
    return absl::StrCat("MobileNetV3-", large_ ? "Large" : "Small");
  }
  int stages() const override { return static_cast<int>(layers_.stages.size()); }
  InputShape input() const override { return {.channels = 3}; }
  Features features() const override {
    return {.channels = large_ ? 1280 : 1024, .are_maps = false};
  }

  Linear BuildHead(int64_t in, int64_t classes, LayerBuilder* make) const override {
    make->AlsoNamed("head.layers.1.fc", {"classifier.3", "classifier"});
    return make->MakeNormalLinear("head.layers.1.fc", in, classes, kLinearDeviation);
  }

  absl::Status CheckNames(absl::string_view first_convolution) const override {
    if (origin_is_set_ || first_convolution != TimmStemNames().conv) return absl::OkStatus();
    const std::string package = absl::StrCat("mobilenetv3_", large_ ? "large" : "small", "_100");
    return TimmOriginError(package, "model.backbone.mobilenet_v3.origin", "TIMM");
  }

 private:
  static constexpr double kLinearDeviation = 0.01;

  bool same() const { return origin_ == MobileNetV3Config::TENSORFLOW; }
  BatchNormSettings norm() const {
    switch (origin_) {
      case MobileNetV3Config::TORCHVISION:
        return {.epsilon = 1e-3, .momentum = 0.01};
      case MobileNetV3Config::TIMM:
        return {};
      case MobileNetV3Config::TENSORFLOW:
        return {.epsilon = 1e-3};
    }
    return {};
  }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage == 0) {
      const ConvBnNames names = MmpretrainConvBn("backbone.layer0");
      make->AlsoNamed(names, {TorchvisionConvBn("features.0"), TimmStemNames()});
      layers_.stem = make->MakeConvBn(names,
                                      {.in = input().channels,
                                       .out = kStemWidth,
                                       .kernel = 3,
                                       .stride = 2,
                                       .padding = same() ? 0 : 1,
                                       .same = same()},
                                      norm());
      return;
    }
    std::vector<InvertedResidual>& blocks = layers_.stages[stage - 1];
    const int64_t out = blocks_[built_].out;
    while (built_ < blocks_.size() && blocks_[built_].out == out) {
      blocks.push_back(MakeBlock(stage, static_cast<int>(blocks.size()), make));
    }
    if (stage == stages()) BuildLast(stage, make);
  }

  void BuildLast(int stage, LayerBuilder* make) {
    const ConvBnNames names = MmpretrainConvBn(absl::StrCat("backbone.layer", built_ + 1));
    const std::string timm = absl::StrCat("blocks.", stage, ".0");
    make->AlsoNamed(names, {TorchvisionConvBn(absl::StrCat("features.", built_ + 1)),
                            {timm + ".conv", timm + ".bn1"}});
    const int64_t width = blocks_.back().width;
    layers_.last =
        make->MakeConvBn(names, {.in = blocks_.back().out, .out = width, .kernel = 1}, norm());
    make->AlsoNamed("head.layers.0.fc", {"classifier.0", "conv_head"});
    hidden_ =
        make->MakeNormalLinear("head.layers.0.fc", width, features().channels, kLinearDeviation);
  }

  InvertedResidual MakeBlock(int stage, int index, LayerBuilder* make) {
    const Block& block = blocks_[built_];
    const int64_t in = built_ == 0 ? kStemWidth : blocks_[built_ - 1].out;
    const bool expands = block.width != in;
    ++built_;
    return MakeInvertedResidual(
        MmpretrainNames(absl::StrCat("backbone.layer", built_)),
        {TorchvisionNames(absl::StrCat("features.", built_, ".block"), expands, block.squeezes),
         TimmNames(stage - 1, index, expands)},
        {.in = in,
         .width = block.width,
         .out = block.out,
         .kernel = block.kernel,
         .stride = block.stride,
         .same = same(),
         .norm = norm(),
         .activation = block.activation,
         .squeezed = block.squeezes ? ScaledWidth(block.width, 0.25) : 0,
         .squeeze_activation = Activation::kRelu,
         .gate = Gate::kHardSigmoid},
        make);
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    x = layers_.RunStage(stage, std::move(x), pass);
    if (stage < stages()) return x;
    const at::Tensor means = x.mean({2, 3}, /*keepdim=*/false, at::kFloat);
    return at::hardswish(at::linear(means, hidden_.weight, hidden_.bias));
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    // The stem and four stages halve height and width, rounded up.
    return HalvedPixels(height, width, 5);
  }

  const bool large_;
  const MobileNetV3Config::Origin origin_;
  // Whether the config sets `origin`. If not, CheckNames() must find it in a checkpoint's names.
  const bool origin_is_set_;
  const absl::Span<const Block> blocks_;
  size_t built_ = 0;
  InvertedResidualLayers layers_;
  Linear hidden_;
};

}  // namespace

std::unique_ptr<Backbone> MakeMobileNetV3(const BackboneConfig& config) {
  return std::make_unique<MobileNetV3>(config);
}

}  // namespace finetune
