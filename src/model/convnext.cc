// Problem: ConvNeXt (Liu et al. 2022) and ConvNeXt V2 (Woo et al. 2023). A 4x4 convolution of
// stride 4 is the stem. Before each later stage a 2x2 convolution of stride 2 halves the map. A
// block is a 7x7 depthwise convolution, a layer norm over the channels, a linear layer to 4 times
// the channels, GELU, a linear layer back, and a factor for each channel (layer scale). V2 has a
// global response norm after the GELU and no layer scale.
//
// Layout: maps are channels-last, so a map [N, C, H, W] is a contiguous [N, H, W, C] for the layer
// norms and linear layers, which work on the last dimension.
//
// The average over the pixels comes before the last norm in all packages (torchvision's and timm's
// classifier, mmpretrain's gap_before_final_norm). So both belong to the last stage, whose result
// is a vector: the neck has nothing to do, and the head is a linear layer as for other networks.
//
// Reference: the authors' code, torchvision, timm and mmpretrain. agreement_test.cc and
// tests/peers/backbones.sh compare with them.
#include "src/model/convnext.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/gelu.h>

#include <array>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/model/dropout.h"

namespace finetune {
namespace {

constexpr int kStages = 4;
constexpr double kEpsilon = 1e-6;
// The standard deviation of the first weights of convolutions and linear layers.
constexpr double kDeviation = 0.02;
constexpr int64_t kStemStride = 4;
constexpr int64_t kExpansion = 4;

struct Size {
  const char* name;
  std::array<int, kStages> blocks;
  std::array<int64_t, kStages> channels;
};

Size SizeOf(ConvNeXtConfig::Variant variant) {
  switch (variant) {
    case ConvNeXtConfig::TINY:
      return {"Tiny", {3, 3, 9, 3}, {96, 192, 384, 768}};
    case ConvNeXtConfig::SMALL:
      return {"Small", {3, 3, 27, 3}, {96, 192, 384, 768}};
    case ConvNeXtConfig::BASE:
      return {"Base", {3, 3, 27, 3}, {128, 256, 512, 1024}};
    case ConvNeXtConfig::LARGE:
      return {"Large", {3, 3, 27, 3}, {192, 384, 768, 1536}};
    case ConvNeXtConfig::ATTO:
      return {"Atto", {2, 2, 6, 2}, {40, 80, 160, 320}};
    case ConvNeXtConfig::FEMTO:
      return {"Femto", {2, 2, 6, 2}, {48, 96, 192, 384}};
    case ConvNeXtConfig::PICO:
      return {"Pico", {2, 2, 6, 2}, {64, 128, 256, 512}};
    case ConvNeXtConfig::NANO:
      return {"Nano", {2, 2, 8, 2}, {80, 160, 320, 640}};
  }
  return {};
}

struct Block {
  Conv depthwise;
  LayerNorm norm;
  Linear expand;
  std::optional<GlobalResponseNorm> response;
  Linear project;
  at::Tensor scale;  // [C]; undefined for no layer scale
  float drop_path = 0;
  uint32_t index = 0;  // among all blocks of the network
};

// The layer norm and the convolution that come before a stage's blocks. The stem's norm comes after
// its convolution, the others' norm before it.
struct Downsampling {
  Conv conv;
  LayerNorm norm;
};

// Return the result of a layer for a map, [N, H, W, C] instead of [N, C, H, W], and back. No value
// is moved.
at::Tensor ChannelsAtTheEnd(const at::Tensor& map) { return map.permute({0, 2, 3, 1}); }
at::Tensor ChannelsFirst(const at::Tensor& map) { return map.permute({0, 3, 1, 2}); }

at::Tensor NormalizeMap(const at::Tensor& x, const LayerNorm& norm) {
  return ChannelsFirst(ApplyLayerNorm(ChannelsAtTheEnd(x), norm));
}

at::Tensor RunBlock(const at::Tensor& x, const Block& block, const StagePass& pass) {
  at::Tensor y = ChannelsAtTheEnd(ConvWithBias(x, block.depthwise, pass));
  y = at::gelu(ApplyLinear(ApplyLayerNorm(y, block.norm), block.expand));
  if (block.response.has_value()) y = ApplyGlobalResponseNorm(y, *block.response);
  y = ApplyLinear(y, block.project);
  if (block.scale.defined()) y = y * block.scale.to(y.scalar_type());
  y = ChannelsFirst(y);
  if (pass.trained && block.drop_path > 0) {
    y = DropPath(y, block.drop_path, pass.seed, pass.context, block.index);
  }
  return x + y;
}

class ConvNeXt final : public Backbone {
 public:
  explicit ConvNeXt(const BackboneConfig& config)
      : Backbone(config), config_(config.convnext()), size_(SizeOf(config_.variant())) {}

  std::string name() const override {
    return absl::StrCat("ConvNeXt-", is_v2() ? "V2-" : "", size_.name);
  }
  int stages() const override { return kStages; }
  InputShape input() const override { return {.channels = 3, .least_side = 32}; }
  Features features() const override {
    return {.channels = size_.channels.back(), .are_maps = false};
  }

  Linear BuildHead(int64_t in, int64_t classes, LayerBuilder* make) const override {
    // The authors' name, torchvision's and timm's.
    make->AlsoNamed("head.fc", {"head", "classifier.2", "head.fc"});
    return make->MakeNormalLinear("head.fc", in, classes, kDeviation);
  }

 private:
  bool is_v2() const { return config_.version() == ConvNeXtConfig::V2; }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage <= 1) {
      // Stage 1 has no downsampling: its blocks follow the stem.
      if (stage == 0) BuildStem(make);
    } else {
      BuildDownsampling(stage, make);
    }
    if (stage == 0) return;
    for (int i = 0; i < size_.blocks[stage - 1]; ++i) {
      blocks_[stage - 1].push_back(MakeBlock(stage, i, make));
    }
    if (stage < kStages) return;
    const std::string name = absl::StrCat("backbone.norm", kStages - 1);
    last_norm_ = make->MakeLayerNorm(name, features().channels, kEpsilon);
    make->AlsoNamed(name, {"norm", "classifier.0", "head.norm"});
  }

  void BuildStem(LayerBuilder* make) {
    const std::string name = "backbone.downsample_layers.0";
    downsampling_[0].conv = make->MakeNormalConv(name + ".0",
                                                 {.in = input().channels,
                                                  .out = size_.channels[0],
                                                  .kernel = kStemStride,
                                                  .stride = kStemStride},
                                                 kDeviation);
    downsampling_[0].norm = make->MakeLayerNorm(name + ".1", size_.channels[0], kEpsilon);
    make->AlsoNamed(name + ".0", {"features.0.0", "stem.0"});
    make->AlsoNamed(name + ".1", {"features.0.1", "stem.1"});
  }

  void BuildDownsampling(int stage, LayerBuilder* make) {
    const std::string name = absl::StrCat("backbone.downsample_layers.", stage - 1);
    const int64_t in = size_.channels[stage - 2], out = size_.channels[stage - 1];
    Downsampling& layers = downsampling_[stage - 1];
    layers.norm = make->MakeLayerNorm(name + ".0", in, kEpsilon);
    layers.conv = make->MakeNormalConv(
        name + ".1", {.in = in, .out = out, .kernel = 2, .stride = 2}, kDeviation);
    for (const char* const layer : {".0", ".1"}) {
      make->AlsoNamed(name + layer, {absl::StrCat("features.", 2 * (stage - 1), layer),
                                     absl::StrCat("stages.", stage - 1, ".downsample", layer)});
    }
  }

  Block MakeBlock(int stage, int index, LayerBuilder* make) {
    const int64_t channels = size_.channels[stage - 1];
    const std::string original = absl::StrCat("stages.", stage - 1, ".", index);
    const std::string torchvision = absl::StrCat("features.", 2 * stage - 1, ".", index);
    const std::string timm = absl::StrCat("stages.", stage - 1, ".blocks.", index);
    const std::string name = "backbone." + original;
    Block block;
    block.depthwise = make->MakeNormalConv(
        name + ".depthwise_conv",
        {.in = channels, .out = channels, .kernel = 7, .padding = 3, .groups = channels},
        kDeviation);
    block.norm = make->MakeLayerNorm(name + ".norm", channels, kEpsilon);
    block.expand = make->MakeNormalLinear(name + ".pointwise_conv1", channels,
                                          kExpansion * channels, kDeviation);
    if (is_v2()) {
      block.response = make->MakeGlobalResponseNorm(name + ".grn", kExpansion * channels);
    }
    block.project = make->MakeNormalLinear(name + ".pointwise_conv2", kExpansion * channels,
                                           channels, kDeviation);
    if (!is_v2() && config_.layer_scale_init() > 0) {
      block.scale = make->MakeScale(name + ".gamma", channels, config_.layer_scale_init());
    }
    make->AlsoNamed(name + ".depthwise_conv",
                    {original + ".dwconv", torchvision + ".block.0", timm + ".conv_dw"});
    make->AlsoNamed(name + ".norm", {torchvision + ".block.2", timm + ".norm"});
    make->AlsoNamed(name + ".pointwise_conv1",
                    {original + ".pwconv1", torchvision + ".block.3", timm + ".mlp.fc1"});
    make->AlsoNamed(name + ".pointwise_conv2",
                    {original + ".pwconv2", torchvision + ".block.5", timm + ".mlp.fc2"});
    make->AlsoNamed(name + ".gamma", {torchvision + ".layer_scale", timm + ".gamma"});
    make->AlsoNamed(name + ".grn.gamma", {timm + ".mlp.grn.weight"});
    make->AlsoNamed(name + ".grn.beta", {timm + ".mlp.grn.bias"});
    const int all = std::accumulate(size_.blocks.begin(), size_.blocks.end(), 0);
    block.drop_path =
        config_.drop_path() * static_cast<float>(built_) / static_cast<float>(all - 1);
    block.index = built_++;
    return block;
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    x = ToStoredType(x, pass);
    const Downsampling& downsampling = downsampling_[stage == 0 ? 0 : stage - 1];
    if (stage == 0) {
      return NormalizeMap(ConvWithBias(x, downsampling.conv, pass), downsampling.norm);
    }
    if (stage > 1) x = ConvWithBias(NormalizeMap(x, downsampling.norm), downsampling.conv, pass);
    for (const Block& block : blocks_[stage - 1]) x = RunBlock(x, block, pass);
    if (stage < kStages) return x;
    return ApplyLayerNorm(x.mean({2, 3}, /*keepdim=*/false, at::kFloat), last_norm_);
  }

  int64_t LastBatchNormValues(int64_t /*height*/, int64_t /*width*/) const override { return 0; }

  const ConvNeXtConfig config_;
  const Size size_;
  uint32_t built_ = 0;  // the number of blocks that MakeBlock() has made
  std::array<Downsampling, kStages> downsampling_;
  std::array<std::vector<Block>, kStages> blocks_;
  LayerNorm last_norm_;
};

}  // namespace

std::unique_ptr<Backbone> MakeConvNeXt(const BackboneConfig& config, const Problems& problems) {
  const ConvNeXtConfig& convnext = config.convnext();
  problems.IsFraction("convnext.drop_path", convnext.drop_path());
  problems.AtLeast("convnext.layer_scale_init", convnext.layer_scale_init(), 0);
  if (convnext.version() == ConvNeXtConfig::V2 && convnext.layer_scale_init() > 0 &&
      convnext.has_layer_scale_init()) {
    problems.Error("convnext.layer_scale_init",
                   absl::StrCat("is ", convnext.layer_scale_init(),
                                "; expected 0 or no value: ConvNeXt V2 has no layer scale"));
  }
  return std::make_unique<ConvNeXt>(config);
}

}  // namespace finetune
