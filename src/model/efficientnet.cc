// EfficientNet-Lite: the networks of Tan and Le 2019 in their authors' Lite form, which has
// MobileNetV2's blocks (inverted_residual.h) with ReLU6 and no squeeze-and-excitation.
//
// Layout: the 7 rows of kGroups are the stages after the stem. A variant multiplies the channels
// and the number of blocks of each row. The same in all variants: the stem (32 channels), the last
// 1x1 convolution (1280) and the number of blocks of the first and the last row.
//
// The published weights come from TensorFlow, so the padding is TensorFlow's SAME: where a side
// needs an odd number of zeros, its end gets one more than its beginning. Batch norms have
// TensorFlow's epsilon and momentum.
//
// Reference: the package efficientnet-lite-pytorch, by agreement_test.cc and
// tests/peers/efficientnet_lite.sh.
#include "src/model/efficientnet.h"

#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/model/inverted_residual.h"

namespace finetune {
namespace {

constexpr BatchNormSettings kNorm = {.epsilon = 1e-3, .momentum = 0.01};
constexpr int64_t kStemWidth = 32;
constexpr int64_t kLastWidth = 1280;

// A row of blocks. Only the first block has the stride, and its input the channels of the row
// before.
struct Group {
  int blocks;
  int64_t kernel, stride, expansion, out;
};
constexpr std::array kGroups = {
    Group{1, 3, 1, 1, 16},  Group{2, 3, 2, 6, 24},  Group{2, 5, 2, 6, 40},  Group{3, 3, 2, 6, 80},
    Group{3, 5, 1, 6, 112}, Group{4, 5, 2, 6, 192}, Group{1, 3, 1, 6, 320},
};
constexpr int kStages = kGroups.size();

struct Scale {
  double width, depth;
};
constexpr std::array kVariants = {Scale{1.0, 1.0}, Scale{1.0, 1.1}, Scale{1.1, 1.2},
                                  Scale{1.2, 1.4}, Scale{1.4, 1.8}};

class EfficientNetLite final : public Backbone {
 public:
  explicit EfficientNetLite(const BackboneConfig& config)
      : Backbone(config),
        variant_(config.efficientnet_lite().variant()),
        drop_path_(config.efficientnet_lite().drop_path()) {
    for (int stage = 1; stage <= kStages; ++stage) blocks_ += BlocksOf(stage);
  }

  std::string name() const override { return absl::StrCat("EfficientNet-Lite", variant_); }
  int stages() const override { return kStages; }
  InputShape input() const override { return {.channels = 3}; }
  Features features() const override { return {.channels = kLastWidth, .are_maps = true}; }
  NormalizeConfig usual_normalization() const override {
    NormalizeConfig config;
    for (int64_t c = 0; c < input().channels; ++c) {
      config.add_mean(127);
      config.add_std(128);
    }
    return config;
  }

 private:
  const Scale& scale() const { return kVariants[variant_]; }
  int BlocksOf(int stage) const {
    const int blocks = kGroups[stage - 1].blocks;
    if (stage == 1 || stage == kStages) return blocks;
    return static_cast<int>(std::ceil(scale().depth * blocks));
  }
  // Returns the number of channels after a stage's blocks.
  int64_t StageWidth(int stage) const {
    return stage == 0 ? kStemWidth : ScaledWidth(kGroups[stage - 1].out, scale().width);
  }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage == 0) {
      layers_.stem = make->MakeConvBn(
          {"backbone._conv_stem", "backbone._bn0"},
          {.in = input().channels, .out = kStemWidth, .kernel = 3, .stride = 2, .same = true},
          kNorm);
      return;
    }
    for (int i = 0; i < BlocksOf(stage); ++i) {
      layers_.stages[stage - 1].push_back(MakeBlock(stage, i, make));
    }
    if (stage == kStages) {
      layers_.last =
          make->MakeConvBn({"backbone._conv_head", "backbone._bn1"},
                           {.in = StageWidth(kStages), .out = kLastWidth, .kernel = 1}, kNorm);
      make->AlsoNamed("head.fc", {"_fc"});
    }
  }

  InvertedResidual MakeBlock(int stage, int index, LayerBuilder* make) {
    const Group& group = kGroups[stage - 1];
    const int64_t in = StageWidth(index == 0 ? stage - 1 : stage);
    const std::string name = absl::StrCat("backbone._blocks.", built_);
    InvertedResidual block =
        MakeInvertedResidual({.expand = {name + "._expand_conv", name + "._bn0"},
                              .depthwise = {name + "._depthwise_conv", name + "._bn1"},
                              .project = {name + "._project_conv", name + "._bn2"}},
                             /*others=*/{},
                             {.in = in,
                              .width = in * group.expansion,
                              .out = StageWidth(stage),
                              .kernel = group.kernel,
                              .stride = index == 0 ? group.stride : 1,
                              .same = true,
                              .norm = kNorm},
                             make);
    block.drop_path = drop_path_ * static_cast<float>(built_) / static_cast<float>(blocks_);
    block.index = static_cast<uint32_t>(built_++);
    return block;
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    return layers_.RunStage(stage, std::move(x), pass);
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    // The stem and four stages halve a side and round up.
    return HalvedPixels(height, width, 5);
  }

  const int variant_;
  const float drop_path_;
  int blocks_ = 0;  // the number of blocks of all stages
  int built_ = 0;
  InvertedResidualLayers layers_ = {.stages = std::vector<std::vector<InvertedResidual>>(kStages)};
};

}  // namespace

std::unique_ptr<Backbone> MakeEfficientNetLite(const BackboneConfig& config,
                                               const Problems& problems) {
  const EfficientNetLiteConfig& lite = config.efficientnet_lite();
  problems.IsFraction("efficientnet_lite.drop_path", lite.drop_path());
  if (!problems.InRange("efficientnet_lite.variant", lite.variant(), 0, kVariants.size() - 1)) {
    return nullptr;
  }
  return std::make_unique<EfficientNetLite>(config);
}

}  // namespace finetune
