// MobileNetV2 (Sandler et al. 2018): a 3x3 convolution with ReLU6, 17 blocks of inverted_residual.h
// and a last 1x1 convolution with ReLU6.
//
// Layout: the 7 rows of kGroups are the stages after the stem. The width multiplies the channels of
// all convolutions, but the last one never has fewer than kLastWidth.
//
// Padding, epsilon and momentum are PyTorch's defaults, as in the three packages whose weights
// load. Networks that come from TensorFlow have other values.
//
// Reference: torchvision, timm and mmpretrain, by agreement_test.cc and tests/peers/backbones.sh.
#include "src/model/mobilenet_v2.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/model/inverted_residual.h"

namespace finetune {
namespace {

constexpr int64_t kStemWidth = 32;
constexpr int64_t kLastWidth = 1280;

// A row of blocks. Only the first block has the stride, and its input the channels of the row
// before.
struct Group {
  int blocks;
  int64_t stride, expansion, out;
};
constexpr std::array kGroups = {
    Group{1, 1, 1, 16}, Group{2, 2, 6, 24},  Group{3, 2, 6, 32},  Group{4, 2, 6, 64},
    Group{3, 1, 6, 96}, Group{3, 2, 6, 160}, Group{1, 1, 6, 320},
};
constexpr int kStages = kGroups.size();

class MobileNetV2 final : public Backbone {
 public:
  explicit MobileNetV2(const BackboneConfig& config)
      : Backbone(config), width_(config.mobilenet_v2().width()) {}

  std::string name() const override { return "MobileNetV2"; }
  int stages() const override { return kStages; }
  InputShape input() const override { return {.channels = 3}; }
  Features features() const override {
    return {.channels = ScaledWidth(kLastWidth, std::max(1.0, width_)), .are_maps = true};
  }

 private:
  // Returns the number of channels after a stage's blocks.
  int64_t StageWidth(int stage) const {
    return ScaledWidth(stage == 0 ? kStemWidth : kGroups[stage - 1].out, width_);
  }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage == 0) {
      const ConvBnNames names = MmpretrainConvBn("backbone.conv1");
      make->AlsoNamed(names, {TorchvisionConvBn("features.0", 0), TimmStemNames()});
      layers_.stem = make->MakeConvBn(
          names,
          {.in = input().channels, .out = StageWidth(0), .kernel = 3, .stride = 2, .padding = 1});
      return;
    }
    for (int i = 0; i < kGroups[stage - 1].blocks; ++i) {
      layers_.stages[stage - 1].push_back(MakeBlock(stage, i, make));
    }
    if (stage == kStages) {
      const ConvBnNames names = MmpretrainConvBn("backbone.conv2");
      make->AlsoNamed(
          names, {TorchvisionConvBn(absl::StrCat("features.", built_ + 1), 0), TimmLastNames()});
      layers_.last = make->MakeConvBn(
          names, {.in = StageWidth(kStages), .out = features().channels, .kernel = 1});
      make->AlsoNamed("head.fc", {"classifier.1", "classifier"});
    }
  }

  InvertedResidual MakeBlock(int stage, int index, LayerBuilder* make) {
    const Group& group = kGroups[stage - 1];
    const int64_t in = StageWidth(index == 0 ? stage - 1 : stage);
    const bool expands = group.expansion != 1;
    const std::string ours = absl::StrCat("backbone.layer", stage, ".", index, ".conv.");
    const std::string torchvision = absl::StrCat("features.", ++built_, ".conv");
    // mmpretrain and torchvision number a block's layers from 0, whether or not the block expands.
    const int first = expands ? 1 : 0;
    return MakeInvertedResidual(
        {.expand = MmpretrainConvBn(ours + "0"),
         .depthwise = MmpretrainConvBn(absl::StrCat(ours, first)),
         .project = MmpretrainConvBn(absl::StrCat(ours, first + 1))},
        {{.expand = TorchvisionConvBn(torchvision + ".0", 0),
          .depthwise = TorchvisionConvBn(absl::StrCat(torchvision, ".", first), 0),
          .project = TorchvisionConvBn(torchvision, first + 1)},
         TimmNames(stage - 1, index, expands)},
        {.in = in,
         .width = in * group.expansion,
         .out = StageWidth(stage),
         .stride = index == 0 ? group.stride : 1},
        make);
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    return layers_.RunStage(stage, std::move(x), pass);
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    // The stem and four stages halve a side and round up.
    return HalvedPixels(height, width, 5);
  }

  const double width_;
  int built_ = 0;
  InvertedResidualLayers layers_ = {.stages = std::vector<std::vector<InvertedResidual>>(kStages)};
};

}  // namespace

std::unique_ptr<Backbone> MakeMobileNetV2(const BackboneConfig& config, const Problems& problems) {
  if (!problems.InRange("mobilenet_v2.width", config.mobilenet_v2().width(), 0.1, 4)) {
    return nullptr;
  }
  return std::make_unique<MobileNetV2>(config);
}

}  // namespace finetune
