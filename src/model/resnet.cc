#include "src/model/resnet.h"

#include <ATen/ops/max_pool2d.h>

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/ops/max_pool.h"

namespace finetune {
namespace {

// The blocks of a ResNet of this depth: their number in each stage, and whether they are
// bottlenecks.
struct Plan {
  int depth;
  std::array<int, 4> blocks;
  bool bottleneck;
};

constexpr std::array kPlans = {
    Plan{18, {2, 2, 2, 2}, false},  Plan{34, {3, 4, 6, 3}, false},  Plan{50, {3, 4, 6, 3}, true},
    Plan{101, {3, 4, 23, 3}, true}, Plan{152, {3, 8, 36, 3}, true},
};

const Plan* FindPlan(int depth, const Problems& problems) {
  std::string depths;
  for (const Plan& plan : kPlans) {
    if (plan.depth == depth) return &plan;
    absl::StrAppend(&depths, depths.empty() ? "" : ", ", plan.depth);
  }
  problems.WrongValue("resnet.depth", absl::StrCat("is ", depth, "; expected one of ", depths));
  return nullptr;
}

// A residual block: two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1.
struct Block {
  std::vector<ConvBn> convs;
  // Converts the block's input to the shape of its result; none where the shapes are equal.
  std::optional<ConvBn> downsample;
};

// Records the names of the transformers package for a layer: ResNetForImageClassification's, which
// begin with "resnet.", and ResNetModel's, which do not.
void NameAsTransformers(const ConvBnNames& layers, const std::string& name, LayerBuilder* make) {
  for (const char* parent : {"resnet.", ""}) {
    make->AlsoNamed(layers, {{absl::StrCat(parent, name, ".convolution"),
                              absl::StrCat(parent, name, ".normalization")}});
  }
}

class ResNet final : public Backbone {
 public:
  ResNet(const BackboneConfig& config, const Plan& plan)
      : Backbone(config), config_(config.resnet()), plan_(plan) {}

  std::string name() const override { return absl::StrCat("ResNet-", plan_.depth); }
  int stages() const override { return 4; }
  InputShape input() const override { return {.channels = 3}; }
  Features features() const override { return {.channels = StageWidth(4), .are_maps = true}; }
  NormalizeConfig usual_normalization() const override {
    // Weights with the CIFAR stem or the Caffe style are published with several normalizations.
    if (!HasImagenetStem() || config_.style() != ResNetConfig::PYTORCH) return {};
    return Backbone::usual_normalization();
  }

 private:
  bool HasImagenetStem() const { return config_.stem() == ResNetConfig::IMAGENET; }
  // Returns the number of channels of a stage's result.
  int64_t StageWidth(int stage) const {
    const int64_t base = config_.base_channels();
    return stage == 0 ? base : (base << (stage - 1)) * (plan_.bottleneck ? 4 : 1);
  }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage == 0) {
      const int64_t kernel = HasImagenetStem() ? 7 : 3;
      const ConvBnNames names = {"backbone.conv1", "backbone.bn1"};
      NameAsTransformers(names, "embedder.embedder", make);
      stem_ = make->MakeConvBn(names, {.in = input().channels,
                                       .out = StageWidth(0),
                                       .kernel = kernel,
                                       .stride = HasImagenetStem() ? 2 : 1,
                                       .padding = kernel / 2});
      return;
    }
    for (int i = 0; i < plan_.blocks[stage - 1]; ++i) {
      stages_[stage - 1].push_back(MakeBlock(stage, i, make));
    }
    make->AlsoNamed("head.fc", {"classifier.1"});  // the name in transformers
  }

  Block MakeBlock(int stage, int index, LayerBuilder* make) const {
    const std::string name = absl::StrCat("backbone.layer", stage, ".", index);
    const std::string transformers = absl::StrCat("encoder.stages.", stage - 1, ".layers.", index);
    const int64_t in = StageWidth(index == 0 ? stage - 1 : stage), out = StageWidth(stage);
    const int64_t width = config_.base_channels() << (stage - 1);
    const int64_t stride = stage > 1 && index == 0 ? 2 : 1;
    const double last_gamma = config_.zero_init_residual() ? 0 : 1;
    const auto conv = [&](int i, int64_t from, int64_t to, int64_t kernel, int64_t s,
                          double gamma) {
      const ConvBnNames names = {absl::StrCat(name, ".conv", i), absl::StrCat(name, ".bn", i)};
      NameAsTransformers(names, absl::StrCat(transformers, ".layer.", i - 1), make);
      return make->MakeConvBn(names, {from, to, kernel, s, kernel / 2}, {}, gamma);
    };
    // The layers are made in the order in which RunBlock() runs them.
    Block block;
    if (plan_.bottleneck) {
      const bool caffe = config_.style() == ResNetConfig::CAFFE;
      block.convs.push_back(conv(1, in, width, 1, caffe ? stride : 1, 1));
      block.convs.push_back(conv(2, width, width, 3, caffe ? 1 : stride, 1));
    } else {
      block.convs.push_back(conv(1, in, width, 3, stride, 1));
    }
    if (stride != 1 || in != out) {
      const ConvBnNames names = {name + ".downsample.0", name + ".downsample.1"};
      NameAsTransformers(names, transformers + ".shortcut", make);
      block.downsample =
          make->MakeConvBn(names, {.in = in, .out = out, .kernel = 1, .stride = stride});
    }
    block.convs.push_back(plan_.bottleneck ? conv(3, width, out, 1, 1, last_gamma)
                                           : conv(2, width, out, 3, 1, last_gamma));
    return block;
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    if (stage == 0) return RunStem(x, pass);
    for (const Block& block : stages_[stage - 1]) x = RunBlock(x, block, pass);
    return x;
  }

  at::Tensor RunStem(const at::Tensor& images, const StagePass& pass) const {
    if (!HasImagenetStem()) return ConvBnAct(images, stem_, {}, Activation::kRelu, pass);
    // Where no gradient is needed, pooling comes before the activation: the result is the same, and
    // the activation has a quarter of the pixels.
    const bool pool_first = pass.mode.fused && !pass.trained;
    const at::Tensor x =
        ConvBnAct(images, stem_, {}, pool_first ? Activation::kNone : Activation::kRelu, pass);
    if (!pool_first) return at::max_pool2d(x, 3, 2, 1);
    if (MaxPool3x3Runs(x)) return MaxPool3x3(x, /*relu=*/true);
    return at::max_pool2d(x, 3, 2, 1).relu_();
  }

  static at::Tensor RunBlock(const at::Tensor& x, const Block& block, const StagePass& pass) {
    at::Tensor y = x;
    for (size_t i = 0; i + 1 < block.convs.size(); ++i) {
      y = ConvBnAct(y, block.convs[i], {}, Activation::kRelu, pass);
    }
    const at::Tensor shortcut = block.downsample.has_value()
                                    ? ConvBnAct(x, *block.downsample, {}, Activation::kNone, pass)
                                    : x;
    return ConvBnAct(y, block.convs.back(), shortcut, Activation::kRelu, pass);
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    // The stem's convolution and its pooling, and stages 2 to 4, each halve a side and round up.
    return HalvedPixels(height, width, HasImagenetStem() ? 5 : 3);
  }

  const ResNetConfig config_;
  const Plan& plan_;
  ConvBn stem_;
  std::array<std::vector<Block>, 4> stages_;
};

}  // namespace

std::unique_ptr<Backbone> MakeResNet(const BackboneConfig& config, const Problems& problems) {
  const Plan* const plan = FindPlan(config.resnet().depth(), problems);
  const bool has_width =
      problems.InRange("resnet.base_channels", config.resnet().base_channels(), 1, 1024);
  if (plan == nullptr || !has_width) return nullptr;
  return std::make_unique<ResNet>(config, *plan);
}

}  // namespace finetune
