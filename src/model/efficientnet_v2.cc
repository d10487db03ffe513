// Problem: EfficientNetV2 (Tan and Le 2021). The first three stages are made of fused blocks, the
// others of EfficientNet's blocks (inverted_residual.h) with SiLU and squeeze-and-excitation.
//
// Layout: kVariants lists the blocks and the channels of each stage. All variants have the same
// strides and expansions, and only 3x3 convolutions.
//
// Padding and epsilon are TensorFlow's, torchvision's or timm's. The config's field `origin` says
// which.
//
// Reference: torchvision, timm and mmpretrain. agreement_test.cc and tests/peers/backbones.sh
// compare with them.
#include "src/model/efficientnet_v2.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/config/problems.h"
#include "src/model/inverted_residual.h"

namespace finetune {
namespace {

using Config = EfficientNetV2Config;

constexpr int kMostStages = 7;
constexpr int kFusedStages = 3;
// By stage: the stride of the first block, and the factor by which blocks expand the channels.
constexpr std::array<int64_t, kMostStages> kStrides = {1, 2, 2, 2, 1, 2, 1};
constexpr std::array<int64_t, kMostStages> kExpansions = {1, 4, 4, 4, 6, 6, 6};

struct Variant {
  Config::Variant id;
  int stages;
  int64_t stem, last;  // the channels of the stem and of the last 1x1 convolution
  std::array<int, kMostStages> blocks;
  std::array<int64_t, kMostStages> widths;
};
constexpr Variant kVariants[] = {
    {Config::S, 6, 24, 1280, {2, 4, 4, 6, 9, 15}, {24, 48, 64, 128, 160, 256}},
    {Config::M, 7, 24, 1280, {3, 5, 5, 7, 14, 18, 5}, {24, 48, 80, 160, 176, 304, 512}},
    {Config::L, 7, 32, 1280, {4, 7, 7, 10, 19, 25, 7}, {32, 64, 96, 192, 224, 384, 640}},
    {Config::XL, 7, 32, 1280, {4, 8, 8, 16, 24, 32, 8}, {32, 64, 96, 192, 256, 512, 640}},
    {Config::BASE_0, 6, 32, 1280, {1, 2, 2, 3, 5, 8}, {16, 32, 48, 96, 112, 192}},
    {Config::BASE_1, 6, 32, 1280, {2, 3, 3, 4, 6, 9}, {16, 32, 48, 96, 112, 192}},
    {Config::BASE_2, 6, 32, 1408, {2, 3, 3, 4, 6, 10}, {16, 32, 56, 104, 120, 208}},
    {Config::BASE_3, 6, 40, 1536, {2, 3, 3, 5, 7, 12}, {16, 40, 56, 112, 136, 232}},
};

const Variant& Find(Config::Variant id) {
  for (const Variant& variant : kVariants) {
    if (variant.id == id) return variant;
  }
  return kVariants[0];  // not reached: the table has every value of the enum
}

// Returns the name of the variant in mmpretrain and timm, such as "s" or "b0".
std::string ShortName(Config::Variant id) {
  std::string name = absl::AsciiStrToLower(Config::Variant_Name(id));
  absl::string_view number = name;
  return absl::ConsumePrefix(&number, "base_") ? absl::StrCat("b", number) : name;
}

class EfficientNetV2 final : public Backbone {
 public:
  explicit EfficientNetV2(const BackboneConfig& config)
      : Backbone(config),
        config_(config.efficientnet_v2()),
        variant_(Find(config_.variant())),
        layers_{.activation = Activation::kSilu,
                .stages = std::vector<std::vector<InvertedResidual>>(variant_.stages)} {
    if (config_.origin() != Config::TIMM) norm_.epsilon = 1e-3;
    for (const int blocks : variant_.blocks) blocks_ += blocks;
  }

  std::string name() const override {
    return absl::StrCat("EfficientNetV2-", absl::AsciiStrToUpper(ShortName(variant_.id)));
  }
  int stages() const override { return variant_.stages; }
  InputShape input() const override { return {.channels = 3}; }
  Features features() const override { return {.channels = variant_.last, .are_maps = true}; }

  absl::Status CheckNames(absl::string_view first_convolution) const override {
    if (config_.has_origin()) return absl::OkStatus();
    const std::string field = "model.backbone.efficientnet_v2.origin";
    // timm has the variants BASE_0 to BASE_3 and XL with TensorFlow's padding and epsilon alone.
    const bool is_ambiguous = variant_.id <= Config::L;
    if (first_convolution == TimmStemNames().conv && is_ambiguous) {
      return TimmOriginError(absl::StrCat("efficientnetv2_", ShortName(variant_.id)), field,
                             "TIMM");
    }
    if (first_convolution == TorchvisionConvBn("features.0").conv) {
      return absl::InvalidArgumentError(
          absl::StrCat("its names are torchvision's, whose networks have symmetric padding; "
                       "expected ",
                       field, ": TORCHVISION"));
    }
    return absl::OkStatus();
  }

  // Publishers of TensorFlow's weights differ in this, and so do torchvision's variants.
  NormalizeConfig usual_normalization() const override { return {}; }

 private:
  bool same() const { return config_.origin() == Config::TENSORFLOW; }
  // Returns the number of channels after a stage's blocks.
  int64_t StageWidth(int stage) const {
    return stage == 0 ? variant_.stem : variant_.widths[stage - 1];
  }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage == 0) {
      const ConvBnNames names = MmpretrainConvBn("backbone.layers.0");
      make->AlsoNamed(names, {TorchvisionConvBn("features.0"), TimmStemNames()});
      layers_.stem = make->MakeConvBn(names,
                                      {.in = input().channels,
                                       .out = StageWidth(0),
                                       .kernel = 3,
                                       .stride = 2,
                                       .padding = same() ? 0 : 1,
                                       .same = same()},
                                      norm_);
      return;
    }
    for (int i = 0; i < variant_.blocks[stage - 1]; ++i) {
      layers_.stages[stage - 1].push_back(MakeBlock(stage, i, make));
    }
    if (stage == stages()) BuildLast(make);
  }

  void BuildLast(LayerBuilder* make) {
    const ConvBnNames names = MmpretrainConvBn(absl::StrCat("backbone.layers.", stages() + 1));
    make->AlsoNamed(names,
                    {TorchvisionConvBn(absl::StrCat("features.", stages() + 1)), TimmLastNames()});
    layers_.last = make->MakeConvBn(
        names, {.in = StageWidth(stages()), .out = variant_.last, .kernel = 1}, norm_);
    make->AlsoNamed("head.fc", {"classifier.1", "classifier"});
  }

  InvertedResidual MakeBlock(int stage, int index, LayerBuilder* make) {
    const int64_t in = StageWidth(index == 0 ? stage - 1 : stage);
    const int64_t expansion = kExpansions[stage - 1];
    const bool fused = stage <= kFusedStages;
    const InvertedResidualShape shape = {
        .in = in,
        .width = in * expansion,
        .out = StageWidth(stage),
        .stride = index == 0 ? kStrides[stage - 1] : 1,
        .same = same(),
        .norm = norm_,
        .activation = Activation::kSilu,
        .squeezed = fused ? 0 : in / 4,
        .squeeze_activation = Activation::kSilu,
        .gate = Gate::kSigmoid,
    };
    const std::string ours = absl::StrCat("backbone.layers.", stage, ".", index);
    const std::string torchvision = absl::StrCat("features.", stage, ".", index, ".block");
    InvertedResidual block;
    if (fused) {
      const std::string timm = absl::StrCat("blocks.", stage - 1, ".", index);
      const InvertedResidualNames theirs = {.expand = TorchvisionConvBn(torchvision + ".0"),
                                            .project = TorchvisionConvBn(torchvision + ".1")};
      if (expansion == 1) {
        block = MakeFusedInvertedResidual({.expand = MmpretrainConvBn(ours)},
                                          {theirs, {.expand = {timm + ".conv", timm + ".bn1"}}},
                                          shape, make);
      } else {
        block = MakeFusedInvertedResidual({.expand = MmpretrainConvBn(ours + ".conv1"),
                                           .project = MmpretrainConvBn(ours + ".conv2")},
                                          {theirs,
                                           {.expand = {timm + ".conv_exp", timm + ".bn1"},
                                            .project = {timm + ".conv_pwl", timm + ".bn2"}}},
                                          shape, make);
      }
    } else {
      block =
          MakeInvertedResidual(MmpretrainNames(ours),
                               {TorchvisionNames(torchvision, /*expands=*/true, /*squeezes=*/true),
                                TimmNames(stage - 1, index, /*expands=*/true)},
                               shape, make);
    }
    block.drop_path =
        config_.drop_path() * static_cast<float>(built_) / static_cast<float>(blocks_);
    block.index = static_cast<uint32_t>(built_++);
    return block;
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    return layers_.RunStage(stage, std::move(x), pass);
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    // The stem and stages 2, 3, 4 and 6 halve height and width, rounded up.
    return HalvedPixels(height, width, 5);
  }

  const EfficientNetV2Config config_;
  const Variant& variant_;
  BatchNormSettings norm_;
  int blocks_ = 0;  // the number of blocks of all stages
  int built_ = 0;
  InvertedResidualLayers layers_;
};

}  // namespace

std::unique_ptr<Backbone> MakeEfficientNetV2(const BackboneConfig& config,
                                             const Problems& problems) {
  problems.IsFraction("efficientnet_v2.drop_path", config.efficientnet_v2().drop_path());
  return std::make_unique<EfficientNetV2>(config);
}

}  // namespace finetune
