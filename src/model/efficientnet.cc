// Problem: the networks of Tan and Le 2019 in their authors' Lite form: blocks as MobileNetV2's
// (Sandler et al. 2018), which expand the channels by a 1x1 convolution, filter each channel by
// itself (depthwise), and project back to fewer channels by another 1x1 convolution. ReLU6 follows
// the first two, no squeeze-and-excitation, and a block of equal input and output adds its input.
//
// Layout: the 7 rows of kGroups are the stages behind the stem. A variant multiplies the channels
// and the blocks of each row; the stem (32 channels), the last 1x1 convolution (1280) and the
// number of blocks of the first and last row stay.
//
// The weights come from TensorFlow. So padding is its SAME: where an odd number of zeros is needed,
// the end of a side gets one more than its beginning. Batch norms have its epsilon and momentum.
//
// Reference: the package efficientnet-lite-pytorch, by agreement_test.cc and
// tests/peers/efficientnet_lite.sh.
#include "src/model/efficientnet.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/model/dropout.h"

namespace finetune {
namespace {

constexpr BatchNormSettings kNorm = {.epsilon = 1e-3, .momentum = 0.01};
constexpr int64_t kStemWidth = 32;
constexpr int64_t kLastWidth = 1280;

// Blocks of one shape, of which the first has the stride.
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

// The nearest multiple of 8 that is not more than a tenth below.
int64_t ScaledWidth(int64_t channels, double factor) {
  const double exact = static_cast<double>(channels) * factor;
  const int64_t rounded = std::max<int64_t>(8, static_cast<int64_t>(exact + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * exact ? rounded + 8 : rounded;
}

struct Block {
  std::optional<ConvBn> expand;
  ConvBn depthwise, project;
  bool adds_input;
  float drop_path;
  uint32_t index;  // among all blocks
};

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

 private:
  const Scale& scale() const { return kVariants[variant_]; }
  int BlocksOf(int stage) const {
    const int blocks = kGroups[stage - 1].blocks;
    if (stage == 1 || stage == kStages) return blocks;
    return static_cast<int>(std::ceil(scale().depth * blocks));
  }
  // Channels behind a stage's blocks.
  int64_t StageWidth(int stage) const {
    return stage == 0 ? kStemWidth : ScaledWidth(kGroups[stage - 1].out, scale().width);
  }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage == 0) {
      stem_ = make->MakeConvBn(
          "backbone._conv_stem", "backbone._bn0",
          {.in = input().channels, .out = kStemWidth, .kernel = 3, .stride = 2, .same = true},
          kNorm);
      return;
    }
    for (int i = 0; i < BlocksOf(stage); ++i) {
      stages_[stage - 1].push_back(MakeBlock(stage, /*first=*/i == 0, make));
    }
    if (stage == kStages) {
      last_ = make->MakeConvBn("backbone._conv_head", "backbone._bn1",
                               {.in = StageWidth(kStages), .out = kLastWidth, .kernel = 1}, kNorm);
    }
  }

  Block MakeBlock(int stage, bool first, LayerBuilder* make) {
    const Group& group = kGroups[stage - 1];
    const int64_t in = StageWidth(first ? stage - 1 : stage), out = StageWidth(stage);
    const int64_t width = in * group.expansion, stride = first ? group.stride : 1;
    const std::string name = absl::StrCat("backbone._blocks.", built_);
    Block block;
    if (group.expansion != 1) {
      block.expand = make->MakeConvBn(name + "._expand_conv", name + "._bn0",
                                      {.in = in, .out = width, .kernel = 1}, kNorm);
    }
    block.depthwise = make->MakeConvBn(name + "._depthwise_conv", name + "._bn1",
                                       {.in = width,
                                        .out = width,
                                        .kernel = group.kernel,
                                        .stride = stride,
                                        .groups = width,
                                        .same = true},
                                       kNorm);
    block.project = make->MakeConvBn(name + "._project_conv", name + "._bn2",
                                     {.in = width, .out = out, .kernel = 1}, kNorm);
    block.adds_input = stride == 1 && in == out;
    block.drop_path = drop_path_ * static_cast<float>(built_) / static_cast<float>(blocks_);
    block.index = static_cast<uint32_t>(built_++);
    return block;
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    if (stage == 0) return ConvBnAct(x, stem_, {}, Activation::kRelu6, pass);
    for (const Block& block : stages_[stage - 1]) x = RunBlock(x, block, pass);
    return stage == kStages ? ConvBnAct(x, last_, {}, Activation::kRelu6, pass) : x;
  }

  static at::Tensor RunBlock(const at::Tensor& x, const Block& block, const StagePass& pass) {
    at::Tensor y = x;
    if (block.expand.has_value()) y = ConvBnAct(y, *block.expand, {}, Activation::kRelu6, pass);
    y = ConvBnAct(y, block.depthwise, {}, Activation::kRelu6, pass);
    if (!block.adds_input) return ConvBnAct(y, block.project, {}, Activation::kNone, pass);
    if (!pass.trained || block.drop_path == 0) {
      return ConvBnAct(y, block.project, x, Activation::kNone, pass);
    }
    y = ConvBnAct(y, block.project, {}, Activation::kNone, pass);
    return x + DropPath(y, block.drop_path, pass.seed, pass.context, block.index);
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    // The stem and four stages halve a side and round up.
    return HalvedPixels(height, width, 5);
  }

  const int variant_;
  const float drop_path_;
  int blocks_ = 0;  // of all stages
  int built_ = 0;
  ConvBn stem_, last_;
  std::array<std::vector<Block>, kStages> stages_;
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
