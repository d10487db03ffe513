// Problem: RegNetX and RegNetY (Radosavovic et al. 2020). All stages are made of ResNet's
// bottlenecks without expansion: a 1x1 convolution, a 3x3 convolution in groups, and a 1x1
// convolution, all as wide as the block's result. RegNetY has squeeze-and-excitation before the
// last one.
//
// Layout: a 3x3 stem convolution and 4 stages, whose first block has a stride of 2. kVariants lists
// the blocks and the channels of each stage. The paper draws them from a line, rounds them to
// multiples of 8, and then to multiples of the width of a group. torchvision does the last step by
// another rule, which changes three of the networks. They have two variants each.
//
// Reference: torchvision, timm and mmpretrain. agreement_test.cc and tests/peers/backbones.sh
// compare with them.
#include "src/model/regnet.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

constexpr int64_t kStemWidth = 32;
constexpr int kStages = 4;

struct Variant {
  RegNetConfig::Variant id;
  const char* name;
  bool squeezes;
  int64_t group_width;  // the channels of a group; all channels of a stage that has fewer
  std::array<int, kStages> blocks;
  std::array<int64_t, kStages> widths;
};
constexpr Variant kVariants[] = {
    {RegNetConfig::X_400MF, "X-400MF", false, 16, {1, 2, 7, 12}, {32, 64, 160, 384}},
    {RegNetConfig::X_400MF_TORCHVISION, "X-400MF", false, 16, {1, 2, 7, 12}, {32, 64, 160, 400}},
    {RegNetConfig::X_800MF, "X-800MF", false, 16, {1, 3, 7, 5}, {64, 128, 288, 672}},
    {RegNetConfig::X_1600MF, "X-1.6GF", false, 24, {2, 4, 10, 2}, {72, 168, 408, 912}},
    {RegNetConfig::X_3200MF, "X-3.2GF", false, 48, {2, 6, 15, 2}, {96, 192, 432, 1008}},
    {RegNetConfig::X_8GF, "X-8GF", false, 120, {2, 5, 15, 1}, {80, 240, 720, 1920}},
    {RegNetConfig::X_16GF, "X-16GF", false, 128, {2, 6, 13, 1}, {256, 512, 896, 2048}},
    {RegNetConfig::Y_400MF, "Y-400MF", true, 8, {1, 3, 6, 6}, {48, 104, 208, 440}},
    {RegNetConfig::Y_800MF, "Y-800MF", true, 16, {1, 3, 8, 2}, {64, 128, 320, 768}},
    {RegNetConfig::Y_800MF_TORCHVISION, "Y-800MF", true, 16, {1, 3, 8, 2}, {64, 144, 320, 784}},
    {RegNetConfig::Y_1600MF, "Y-1.6GF", true, 24, {2, 6, 17, 2}, {48, 120, 336, 888}},
    {RegNetConfig::Y_3200MF, "Y-3.2GF", true, 24, {2, 5, 13, 1}, {72, 216, 576, 1512}},
    {RegNetConfig::Y_8GF, "Y-8GF", true, 56, {2, 4, 10, 1}, {168, 448, 896, 2016}},
    {RegNetConfig::Y_8GF_TORCHVISION, "Y-8GF", true, 56, {2, 4, 10, 1}, {224, 448, 896, 2016}},
    {RegNetConfig::Y_16GF, "Y-16GF", true, 112, {2, 4, 11, 1}, {224, 448, 1232, 3024}},
};

const Variant& Find(RegNetConfig::Variant id) {
  for (const Variant& variant : kVariants) {
    if (variant.id == id) return variant;
  }
  return kVariants[0];  // not reached: the table has every value of the enum
}

struct Block {
  ConvBn reduce, filter, expand;
  std::optional<SqueezeExciteLayer> squeeze;
  // Converts the block's input to the shape of its result; none where the shapes are equal.
  std::optional<ConvBn> downsample;
};

class RegNet final : public Backbone {
 public:
  explicit RegNet(const BackboneConfig& config)
      : Backbone(config),
        variant_(Find(config.regnet().variant())),
        last_gamma_(config.regnet().zero_init_residual() ? 0 : 1) {}

  std::string name() const override { return absl::StrCat("RegNet", variant_.name); }
  int stages() const override { return kStages; }
  InputShape input() const override { return {.channels = 3}; }
  Features features() const override { return {.channels = StageWidth(4), .are_maps = true}; }

 private:
  int64_t StageWidth(int stage) const {
    return stage == 0 ? kStemWidth : variant_.widths[stage - 1];
  }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage == 0) {
      const ConvBnNames names = {"backbone.conv1", "backbone.bn1"};
      make->AlsoNamed(names, {{"stem.0", "stem.1"}, {"stem.conv", "stem.bn"}});
      stem_ = make->MakeConvBn(
          names,
          {.in = input().channels, .out = kStemWidth, .kernel = 3, .stride = 2, .padding = 1});
      make->AlsoNamed("head.fc", {"fc", "head.fc"});
      return;
    }
    for (int i = 0; i < variant_.blocks[stage - 1]; ++i) {
      stages_[stage - 1].push_back(MakeBlock(stage, i, make));
    }
  }

  Block MakeBlock(int stage, int index, LayerBuilder* make) const {
    const int64_t in = StageWidth(index == 0 ? stage - 1 : stage), out = StageWidth(stage);
    const int64_t stride = index == 0 ? 2 : 1;
    const std::string ours = absl::StrCat("backbone.layer", stage, ".", index);
    const std::string torchvision =
        absl::StrCat("trunk_output.block", stage, ".block", stage, "-", index);
    const std::string timm = absl::StrCat("s", stage, ".b", index + 1);
    // The names of layer `i`, from 1: those of torchvision are letters.
    const auto conv = [&](int i, const ConvShape& shape, double gamma = 1) {
      const ConvBnNames names = {absl::StrCat(ours, ".conv", i), absl::StrCat(ours, ".bn", i)};
      const std::string letter = absl::StrCat(torchvision, ".f.", std::string(1, "abc"[i - 1]));
      const std::string number = absl::StrCat(timm, ".conv", i);
      make->AlsoNamed(names, {{letter + ".0", letter + ".1"}, {number + ".conv", number + ".bn"}});
      return make->MakeConvBn(names, shape, {}, gamma);
    };
    // The layers are made in the order in which RunBlock() runs them.
    Block block;
    block.reduce = conv(1, {.in = in, .out = out, .kernel = 1});
    block.filter = conv(2, {.in = out,
                            .out = out,
                            .kernel = 3,
                            .stride = stride,
                            .padding = 1,
                            .groups = out / std::min(variant_.group_width, out)});
    if (variant_.squeezes) {
      const SqueezeExciteNames names = {ours + ".se_layer.conv1.conv",
                                        ours + ".se_layer.conv2.conv"};
      make->AlsoNamed(names.reduce, {torchvision + ".f.se.fc1", timm + ".se.fc1"});
      make->AlsoNamed(names.expand, {torchvision + ".f.se.fc2", timm + ".se.fc2"});
      block.squeeze =
          make->MakeSqueezeExcite(names, out, in / 4, Activation::kRelu, Gate::kSigmoid);
    }
    if (stride != 1 || in != out) {
      const ConvBnNames names = {ours + ".downsample.0", ours + ".downsample.1"};
      make->AlsoNamed(names, {{torchvision + ".proj.0", torchvision + ".proj.1"},
                              {timm + ".downsample.conv", timm + ".downsample.bn"}});
      block.downsample =
          make->MakeConvBn(names, {.in = in, .out = out, .kernel = 1, .stride = stride});
    }
    block.expand = conv(3, {.in = out, .out = out, .kernel = 1}, last_gamma_);
    return block;
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    if (stage == 0) return ConvBnAct(x, stem_, {}, Activation::kRelu, pass);
    for (const Block& block : stages_[stage - 1]) x = RunBlock(x, block, pass);
    return x;
  }

  static at::Tensor RunBlock(const at::Tensor& x, const Block& block, const StagePass& pass) {
    at::Tensor y = ConvBnAct(x, block.reduce, {}, Activation::kRelu, pass);
    y = ConvBnAct(y, block.filter, {}, Activation::kRelu, pass);
    if (block.squeeze.has_value()) y = SqueezeAndExcite(y, *block.squeeze, pass);
    const at::Tensor shortcut = block.downsample.has_value()
                                    ? ConvBnAct(x, *block.downsample, {}, Activation::kNone, pass)
                                    : x;
    return ConvBnAct(y, block.expand, shortcut, Activation::kRelu, pass);
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    // The stem and four stages halve a side and round up.
    return HalvedPixels(height, width, 5);
  }

  const Variant& variant_;
  const double last_gamma_;  // the first scale of each block's last batch norm
  ConvBn stem_;
  std::array<std::vector<Block>, kStages> stages_;
};

}  // namespace

std::unique_ptr<Backbone> MakeRegNet(const BackboneConfig& config) {
  return std::make_unique<RegNet>(config);
}

}  // namespace finetune
