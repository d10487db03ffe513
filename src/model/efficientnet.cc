// Problem: EfficientNet-B0 to -B4 (Tan and Le 2019), and EfficientNet-Lite0 to -Lite4 by the same
// authors. Both are made of MobileNetV2's blocks (inverted_residual.h). B0 to B4 have SiLU, and
// squeeze-and-excitation in every block. Lite has ReLU6 and no squeeze-and-excitation.
//
// Layout: the 7 rows of kGroups are the stages after the stem. A variant multiplies the number of
// channels and the number of blocks of each row. Lite does not multiply the channels of the stem
// (32) and of the last 1x1 convolution (1280), nor the number of blocks of the first and last row.
//
// Weights from TensorFlow need its padding SAME and its batch norm epsilon. SAME pads the bottom
// and right by one more than the top and left if an odd number of zeros is needed. Weights from
// PyTorch need symmetric padding and PyTorch's epsilon. The config's field `origin` says which of
// the two the network has.
//
// Reference: torchvision, timm, mmpretrain, efficientnet_pytorch and efficientnet-lite-pytorch.
// agreement_test.cc, tests/peers/backbones.sh and tests/peers/efficientnet_lite.sh compare with
// them.
#include "src/model/efficientnet.h"

#include <array>
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/model/inverted_residual.h"

namespace finetune {
namespace {

constexpr int64_t kStemWidth = 32;
constexpr int64_t kLastWidth = 1280;

// The blocks of a stage. Only the first block has the stride; its input has the channels of the
// stage before. `expansion` multiplies the input's channels; `out` is the result's channels in
// variant 0.
struct Group {
  int blocks;
  int64_t kernel, stride, expansion, out;
};
constexpr std::array kGroups = {
    Group{1, 3, 1, 1, 16},  Group{2, 3, 2, 6, 24},  Group{2, 5, 2, 6, 40},  Group{3, 3, 2, 6, 80},
    Group{3, 5, 1, 6, 112}, Group{4, 5, 2, 6, 192}, Group{1, 3, 1, 6, 320},
};
constexpr int kStages = kGroups.size();

// The factors by which a variant multiplies the channels (width) and the blocks (depth).
struct Scale {
  double width, depth;
};
constexpr std::array kVariants = {Scale{1.0, 1.0}, Scale{1.0, 1.1}, Scale{1.1, 1.2},
                                  Scale{1.2, 1.4}, Scale{1.4, 1.8}};

// The settings of a network, B0 to B4 or Lite.
struct Settings {
  bool lite;
  int variant;
  float drop_path;
  bool from_tensorflow;
  // Whether the config sets `origin`. If not, CheckNames() must find it in a checkpoint's names.
  bool origin_is_set;
};

class EfficientNet final : public Backbone {
 public:
  EfficientNet(const BackboneConfig& config, const Settings& settings)
      : Backbone(config), settings_(settings) {
    if (!settings_.lite) layers_.activation = Activation::kSilu;
    if (settings_.from_tensorflow) norm_.epsilon = 1e-3;
    // timm and mmpretrain train B0 to B4 with PyTorch's momentum, even with TensorFlow's epsilon.
    if (settings_.from_tensorflow && settings_.lite) norm_.momentum = 0.01;
    for (int stage = 1; stage <= kStages; ++stage) blocks_ += BlocksOf(stage);
  }

  std::string name() const override {
    return absl::StrCat(settings_.lite ? "EfficientNet-Lite" : "EfficientNet-B", settings_.variant);
  }
  int stages() const override { return kStages; }
  InputShape input() const override { return {.channels = 3}; }
  Features features() const override {
    return {.channels = settings_.lite ? kLastWidth : ScaledWidth(kLastWidth, scale().width),
            .are_maps = true};
  }

  absl::Status CheckNames(absl::string_view first_convolution) const override {
    if (settings_.origin_is_set) return absl::OkStatus();
    const std::string field =
        absl::StrCat("model.backbone.efficientnet", settings_.lite ? "_lite" : "", ".origin");
    if (first_convolution == TimmStemNames().conv) {
      const std::string package =
          absl::StrCat("efficientnet_", settings_.lite ? "lite" : "b", settings_.variant);
      return TimmOriginError(package, field, "PYTORCH");
    }
    if (!settings_.lite && first_convolution == TorchvisionStem().conv) {
      return absl::InvalidArgumentError(
          absl::StrCat("its names are torchvision's, whose networks have PyTorch's padding and "
                       "epsilon; expected ",
                       field, ": PYTORCH"));
    }
    return absl::OkStatus();
  }

  NormalizeConfig usual_normalization() const override {
    if (!settings_.lite) return Backbone::usual_normalization();
    NormalizeConfig config;
    for (int64_t c = 0; c < input().channels; ++c) {
      config.add_mean(127);
      config.add_std(128);
    }
    return config;
  }

 private:
  const Scale& scale() const { return kVariants[settings_.variant]; }
  int BlocksOf(int stage) const {
    const int blocks = kGroups[stage - 1].blocks;
    if (settings_.lite && (stage == 1 || stage == kStages)) return blocks;
    return static_cast<int>(std::ceil(scale().depth * blocks));
  }
  // Returns the number of channels after a stage's blocks.
  int64_t StageWidth(int stage) const {
    if (stage == 0) return settings_.lite ? kStemWidth : ScaledWidth(kStemWidth, scale().width);
    return ScaledWidth(kGroups[stage - 1].out, scale().width);
  }

  // The names of efficientnet-lite-pytorch and efficientnet_pytorch.
  static ConvBnNames OriginalStem() { return {"_conv_stem", "_bn0"}; }
  static ConvBnNames OriginalLast() { return {"_conv_head", "_bn1"}; }
  static InvertedResidualNames OriginalNames(const std::string& block) {
    return {.expand = {block + "._expand_conv", block + "._bn0"},
            .depthwise = {block + "._depthwise_conv", block + "._bn1"},
            .project = {block + "._project_conv", block + "._bn2"},
            .squeeze = {block + "._se_reduce", block + "._se_expand"}};
  }
  static ConvBnNames TorchvisionStem() { return TorchvisionConvBn("features.0"); }
  // Returns the index of mmpretrain's list of blocks for a stage. mmpretrain puts stages 4 and 5,
  // and stages 6 and 7, into one list each.
  static int MmpretrainLayer(int stage) { return stage < 5 ? stage : (stage == 5 ? 4 : 5); }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage == 0) {
      const ConvBnNames names = settings_.lite ? ConvBnNames{"backbone._conv_stem", "backbone._bn0"}
                                               : MmpretrainConvBn("backbone.layers.0");
      layers_.stem = make->MakeConvBn(names,
                                      {.in = input().channels,
                                       .out = StageWidth(0),
                                       .kernel = 3,
                                       .stride = 2,
                                       .padding = settings_.from_tensorflow ? 0 : 1,
                                       .same = settings_.from_tensorflow},
                                      norm_);
      make->AlsoNamed(names, {TimmStemNames()});
      if (!settings_.lite) make->AlsoNamed(names, {TorchvisionStem(), OriginalStem()});
      return;
    }
    for (int i = 0; i < BlocksOf(stage); ++i) {
      layers_.stages[stage - 1].push_back(MakeBlock(stage, i, make));
    }
    if (stage == kStages) BuildLast(make);
  }

  void BuildLast(LayerBuilder* make) {
    const ConvBnNames names = settings_.lite ? ConvBnNames{"backbone._conv_head", "backbone._bn1"}
                                             : MmpretrainConvBn("backbone.layers.6");
    layers_.last = make->MakeConvBn(
        names, {.in = StageWidth(kStages), .out = features().channels, .kernel = 1}, norm_);
    make->AlsoNamed(names, {TimmLastNames()});
    make->AlsoNamed("head.fc", {"_fc", "classifier"});
    if (settings_.lite) return;
    make->AlsoNamed(names, {TorchvisionConvBn("features.8"), OriginalLast()});
    make->AlsoNamed("head.fc", {"classifier.1"});
  }

  InvertedResidual MakeBlock(int stage, int index, LayerBuilder* make) {
    const Group& group = kGroups[stage - 1];
    const int64_t in = StageWidth(index == 0 ? stage - 1 : stage);
    const bool expands = group.expansion != 1;
    const InvertedResidualShape shape = {
        .in = in,
        .width = in * group.expansion,
        .out = StageWidth(stage),
        .kernel = group.kernel,
        .stride = index == 0 ? group.stride : 1,
        .same = settings_.from_tensorflow,
        .norm = norm_,
        .activation = layers_.activation,
        .squeezed = settings_.lite ? 0 : in / 4,
        .squeeze_activation = Activation::kSilu,
        .gate = Gate::kSigmoid,
    };
    const InvertedResidualNames timm = TimmNames(stage - 1, index, expands);
    const InvertedResidualNames original = OriginalNames(absl::StrCat("_blocks.", built_));
    const int before = stage == 5 || stage == 7 ? BlocksOf(stage - 1) : 0;
    InvertedResidual block =
        settings_.lite
            ? MakeInvertedResidual(OriginalNames(absl::StrCat("backbone._blocks.", built_)), {timm},
                                   shape, make)
            : MakeInvertedResidual(
                  MmpretrainNames(absl::StrCat("backbone.layers.", MmpretrainLayer(stage), ".",
                                               before + index)),
                  {timm, original,
                   TorchvisionNames(absl::StrCat("features.", stage, ".", index, ".block"), expands,
                                    /*squeezes=*/true)},
                  shape, make);
    block.drop_path =
        settings_.drop_path * static_cast<float>(built_) / static_cast<float>(blocks_);
    block.index = static_cast<uint32_t>(built_++);
    return block;
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    return layers_.RunStage(stage, std::move(x), pass);
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    // The stem and four stages halve height and width, rounded up.
    return HalvedPixels(height, width, 5);
  }

  const Settings settings_;
  BatchNormSettings norm_;
  int blocks_ = 0;  // the number of blocks of all stages
  int built_ = 0;
  InvertedResidualLayers layers_ = {.stages = std::vector<std::vector<InvertedResidual>>(kStages)};
};

// Makes the network of `config`, the message `field` of model.backbone: an EfficientNetConfig or an
// EfficientNetLiteConfig. Returns null if the variant is out of range.
template <typename Config>
std::unique_ptr<Backbone> Make(const BackboneConfig& backbone, absl::string_view field,
                               const Config& config, const Problems& problems) {
  problems.IsFraction(absl::StrCat(field, ".drop_path"), config.drop_path());
  if (!problems.InRange(absl::StrCat(field, ".variant"), config.variant(), 0,
                        kVariants.size() - 1)) {
    return nullptr;
  }
  return std::make_unique<EfficientNet>(
      backbone, Settings{.lite = std::is_same_v<Config, EfficientNetLiteConfig>,
                         .variant = config.variant(),
                         .drop_path = config.drop_path(),
                         .from_tensorflow = config.origin() == Config::TENSORFLOW,
                         .origin_is_set = config.has_origin()});
}

}  // namespace

std::unique_ptr<Backbone> MakeEfficientNet(const BackboneConfig& config, const Problems& problems) {
  return Make(config, "efficientnet", config.efficientnet(), problems);
}

std::unique_ptr<Backbone> MakeEfficientNetLite(const BackboneConfig& config,
                                               const Problems& problems) {
  return Make(config, "efficientnet_lite", config.efficientnet_lite(), problems);
}

}  // namespace finetune
