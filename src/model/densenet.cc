// Problem: DenseNet (Huang et al. 2017). Each layer of a block takes the results of all layers
// before it, concatenated, and adds a few channels to them. Batch norm and ReLU come before a
// convolution.
//
// Layout: ResNet's stem, and 4 stages. A stage is a block of layers and its transition. A layer is
// norm, ReLU, 1x1 convolution, norm, ReLU, 3x3 convolution. The first norm and the first
// convolution read all maps; see DenseConvBnRelu() for the memory that this needs in training. A
// transition is norm, ReLU, a 1x1 convolution that halves the channels, and the average over 2x2
// pixels. Behind the last block there are only norm and ReLU.
//
// The average comes before the transition's convolution here. Both are linear, so the result is the
// same, and the convolution has a quarter of the pixels.
//
// Reference: torchvision, timm and mmpretrain. agreement_test.cc and tests/peers/backbones.sh
// compare with them.
#include "src/model/densenet.h"

#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/model/find_depth.h"

namespace finetune {
namespace {

constexpr int kStages = 4;
// The 1x1 convolution of a layer has this many times the channels of the layer's result.
constexpr int64_t kBottleneck = 4;

struct Plan {
  int depth;
  int64_t stem, growth;  // the channels of the stem and of each layer's result
  std::array<int, kStages> layers;
};
constexpr std::array kPlans = {
    Plan{121, 64, 32, {6, 12, 24, 16}},
    Plan{161, 96, 48, {6, 12, 36, 24}},
    Plan{169, 64, 32, {6, 12, 32, 32}},
    Plan{201, 64, 32, {6, 12, 48, 32}},
};

struct Layer {
  BatchNorm norm;
  ConvBn bottleneck;
  BareConv filter;
};

struct Stage {
  std::vector<Layer> layers;
  BatchNorm norm;  // of the transition, or behind the last block
  BareConv halve;  // of the transition; not made in the last stage
};

class DenseNet final : public Backbone {
 public:
  DenseNet(const BackboneConfig& config, const Plan& plan) : Backbone(config), plan_(plan) {}

  std::string name() const override { return absl::StrCat("DenseNet-", plan_.depth); }
  int stages() const override { return kStages; }
  // The stem divides a side by 4 and rounds up; three averages halve it and round down.
  InputShape input() const override { return {.channels = 3, .least_side = 29}; }
  Features features() const override { return {.channels = StageWidth(kStages), .are_maps = true}; }

 private:
  // Returns the number of channels of a stage's result.
  int64_t StageWidth(int stage) const {
    int64_t width = plan_.stem;
    for (int i = 1; i <= stage; ++i) {
      width += plan_.layers[i - 1] * plan_.growth;
      if (i < kStages) width /= 2;
    }
    return width;
  }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage == 0) {
      const ConvBnNames names = {"backbone.stem.0", "backbone.stem.1"};
      make->AlsoNamed(names, {{"features.conv0", "features.norm0"}});
      stem_ = make->MakeConvBn(
          names,
          {.in = input().channels, .out = plan_.stem, .kernel = 7, .stride = 2, .padding = 3});
      return;
    }
    Stage& made = stages_[stage - 1];
    int64_t width = StageWidth(stage - 1);
    for (int i = 0; i < plan_.layers[stage - 1]; ++i) {
      made.layers.push_back(MakeLayer(stage, i, width, make));
      width += plan_.growth;
    }
    const std::string transition = absl::StrCat("backbone.transitions.", stage - 1);
    if (stage < kStages) {
      const std::string theirs = absl::StrCat("features.transition", stage);
      make->AlsoNamed(transition + ".norm", {theirs + ".norm"});
      make->AlsoNamed(transition + ".conv", {theirs + ".conv"});
      made.norm = make->MakeBatchNorm(transition + ".norm", width);
      made.halve =
          make->MakeBareConv(transition + ".conv", {.in = width, .out = width / 2, .kernel = 1});
      return;
    }
    make->AlsoNamed(transition + ".0", {"features.norm5"});
    made.norm = make->MakeBatchNorm(transition + ".0", width);
    make->AlsoNamed("head.fc", {"classifier"});
  }

  Layer MakeLayer(int stage, int index, int64_t in, LayerBuilder* make) const {
    const std::string ours = absl::StrCat("backbone.stages.", stage - 1, ".block.", index, ".");
    const std::string theirs =
        absl::StrCat("features.denseblock", stage, ".denselayer", index + 1, ".");
    // Makes the name of the first or second norm or convolution. In the files that torchvision
    // publishes there is a dot before the number ("norm.1"), which its own networks do not have.
    const auto name = [&](const std::string& kind, int number) {
      const std::string layer = absl::StrCat(ours, kind, number);
      make->AlsoNamed(
          layer, {absl::StrCat(theirs, kind, number), absl::StrCat(theirs, kind, ".", number)});
      return layer;
    };
    const int64_t width = kBottleneck * plan_.growth;
    Layer layer;
    layer.norm = make->MakeBatchNorm(name("norm", 1), in);
    layer.bottleneck =
        make->MakeConvBn({name("conv", 1), name("norm", 2)}, {.in = in, .out = width, .kernel = 1});
    layer.filter = make->MakeBareConv(
        name("conv", 2), {.in = width, .out = plan_.growth, .kernel = 3, .padding = 1});
    return layer;
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    if (stage == 0) return ConvBnReluPool(x, stem_, pass);
    const Stage& run = stages_[stage - 1];
    std::vector<at::Tensor> maps = {ToStoredType(x, pass)};
    for (const Layer& layer : run.layers) {
      const at::Tensor y = DenseConvBnRelu(maps, layer.norm, layer.bottleneck, pass);
      maps.push_back(RunBareConv(y, layer.filter, pass));
    }
    const at::Tensor y = BatchNormRelu(at::cat(maps, 1), run.norm, pass);
    return stage == kStages ? y : RunBareConv(at::avg_pool2d(y, 2, 2), run.halve, pass);
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    const auto side = [](int64_t size) { return (size + 3) / 4 / 8; };
    return side(height) * side(width);
  }

  const Plan& plan_;
  ConvBn stem_;
  std::array<Stage, kStages> stages_;
};

}  // namespace

std::unique_ptr<Backbone> MakeDenseNet(const BackboneConfig& config, const Problems& problems) {
  const Plan* const plan = FindDepth(kPlans, config.densenet().depth(), "densenet.depth", problems);
  if (plan == nullptr) return nullptr;
  return std::make_unique<DenseNet>(config, *plan);
}

}  // namespace finetune
