// Problem: ResNet (He et al. 2015) and the networks that change its blocks or its stem: ResNeXt
// (Xie et al. 2017), Wide ResNet (Zagoruyko and Komodakis 2016), ResNet-C and -D (He et al. 2019,
// "Bag of Tricks") and SE-ResNet (Hu et al. 2018). Every change is a setting of its own, so that
// they can be combined.
//
// Layout: a stem, and 4 stages of residual blocks. A block is two 3x3 convolutions, or a bottleneck
// of 1x1, 3x3 and 1x1. Only the first block of stages 2 to 4 has a stride.
//
// Names are mmpretrain's. torchvision and timm have the same ones without "backbone.", except those
// of the deep stem, of squeeze-and-excitation, and of the shortcut in stage 1 of a network with
// avg_down: there timm leaves a place for the pooling that this shortcut does not have.
//
// Reference: torchvision, timm and mmpretrain. agreement_test.cc and tests/peers/backbones.sh
// compare with them.
#include "src/model/resnet.h"

#include <ATen/ops/avg_pool2d.h>

#include <array>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/ceil_divide.h"
#include "src/config/problems.h"
#include "src/model/dropout.h"
#include "src/model/find_depth.h"

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

// The width_per_group of a network whose bottlenecks are as wide as He et al. made them.
constexpr int kUsualWidth = 64;

// Returns the number of channels in one group of a bottleneck's 3x3 convolution.
int64_t GroupWidth(const ResNetConfig& config, int stage) {
  const int64_t width = int64_t{config.base_channels()} << (stage - 1);
  return width * config.width_per_group() / kUsualWidth;
}

// Adds the errors of the settings that change blocks and stem. Returns whether there are none.
bool CheckVariant(const ResNetConfig& config, const Plan& plan, const Problems& problems) {
  bool good = problems.InRange("resnet.groups", config.groups(), 1, 256);
  good &= problems.IsFraction("resnet.drop_path", config.drop_path());
  good &= problems.InRange("resnet.width_per_group", config.width_per_group(), 1, 1024);
  good &= problems.InRange("resnet.se_ratio", config.se_ratio(), 0, 256);
  const auto error = [&](absl::string_view field, absl::string_view text) {
    problems.Error(absl::StrCat("resnet.", field), text);
    good = false;
  };
  const auto expect = [&](absl::string_view field, int value, int expected) {
    if (value == expected) return;
    error(field, absl::StrCat("is ", value, "; ResNet-", plan.depth,
                              " has no bottlenecks, which this would change; expected ", expected,
                              ", or a depth of 50, 101 or 152"));
  };
  if (!plan.bottleneck) {
    expect("groups", config.groups(), 1);
    expect("width_per_group", config.width_per_group(), kUsualWidth);
  } else if (good && GroupWidth(config, 1) < 1) {
    error("width_per_group", absl::StrCat("is ", config.width_per_group(),
                                          ", which with base_channels: ", config.base_channels(),
                                          " gives the groups of stage 1 less than one channel; "
                                          "expected at least ",
                                          CeilDivide(kUsualWidth, config.base_channels())));
  }
  if (config.stem() == ResNetConfig::DEEP && config.base_channels() < 2) {
    error("base_channels",
          "is 1; expected at least 2 with stem: DEEP, whose first convolutions "
          "have half as many channels");
  }
  return good;
}

// A residual block: two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1.
struct Block {
  std::vector<ConvBn> convs;
  // Runs on the result of the last convolution. nullopt in a network without
  // squeeze-and-excitation.
  std::optional<SqueezeExciteLayer> squeeze;
  // Converts the block's input to the shape of its result; none where the shapes are equal.
  std::optional<ConvBn> downsample;
  // Whether the input is averaged over 2x2 pixels before `downsample`, which then has no stride.
  bool pools_input = false;
  // The chance that training leaves out the convolutions' branch of an image.
  float drop_path = 0;
  uint32_t index = 0;  // among all blocks of the network
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

  std::string name() const override {
    std::string kind = absl::StrCat("ResNet-", plan_.depth);
    if (config_.groups() > 1) {
      kind = absl::StrCat("ResNeXt-", plan_.depth, "-", config_.groups(), "x",
                          config_.width_per_group(), "d");
    } else if (config_.width_per_group() != kUsualWidth) {
      kind = absl::StrCat("Wide-ResNet-", plan_.depth, "-",
                          config_.width_per_group() / static_cast<double>(kUsualWidth));
    }
    const char* const letter = !HasDeepStem() ? "" : config_.avg_down() ? "-D" : "-C";
    return absl::StrCat(config_.se_ratio() > 0 ? "SE-" : "", kind, letter);
  }
  int stages() const override { return 4; }
  InputShape input() const override { return {.channels = 3}; }
  Features features() const override { return {.channels = StageWidth(4), .are_maps = true}; }
  NormalizeConfig usual_normalization() const override {
    // Weights with the CIFAR stem or the Caffe style are published with several normalizations.
    if (!PoolsInStem() || config_.style() != ResNetConfig::PYTORCH) return {};
    return Backbone::usual_normalization();
  }

 private:
  bool HasDeepStem() const { return config_.stem() == ResNetConfig::DEEP; }
  bool PoolsInStem() const { return config_.stem() != ResNetConfig::CIFAR; }
  // Returns the number of channels of a stage's result.
  int64_t StageWidth(int stage) const {
    const int64_t base = config_.base_channels();
    return stage == 0 ? base : (base << (stage - 1)) * (plan_.bottleneck ? 4 : 1);
  }

  void BuildStage(int stage, LayerBuilder* make) override {
    if (stage == 0) {
      HasDeepStem() ? BuildDeepStem(make) : BuildStem(make);
      return;
    }
    for (int i = 0; i < plan_.blocks[stage - 1]; ++i) {
      stages_[stage - 1].push_back(MakeBlock(stage, i, make));
    }
    make->AlsoNamed("head.fc", {"classifier.1"});  // the name in transformers
  }

  void BuildStem(LayerBuilder* make) {
    const int64_t kernel = PoolsInStem() ? 7 : 3;
    const ConvBnNames names = {"backbone.conv1", "backbone.bn1"};
    NameAsTransformers(names, "embedder.embedder", make);
    stem_.push_back(make->MakeConvBn(names, {.in = input().channels,
                                             .out = StageWidth(0),
                                             .kernel = kernel,
                                             .stride = PoolsInStem() ? 2 : 1,
                                             .padding = kernel / 2}));
  }

  void BuildDeepStem(LayerBuilder* make) {
    const std::array<ConvBnNames, 3> timm = {
        {{"conv1.0", "conv1.1"}, {"conv1.3", "conv1.4"}, {"conv1.6", "bn1"}}};
    const int64_t out = StageWidth(0), half = out / 2;
    for (int i = 0; i < 3; ++i) {
      const std::string name = absl::StrCat("backbone.stem.", i);
      const ConvBnNames names = {name + ".conv", name + ".bn"};
      make->AlsoNamed(names, {timm[i]});
      stem_.push_back(make->MakeConvBn(names, {.in = i == 0 ? input().channels : half,
                                               .out = i == 2 ? out : half,
                                               .kernel = 3,
                                               .stride = i == 0 ? 2 : 1,
                                               .padding = 1}));
    }
  }

  Block MakeBlock(int stage, int index, LayerBuilder* make) {
    const std::string flat = absl::StrCat("layer", stage, ".", index);
    const std::string name = absl::StrCat("backbone.", flat);
    const std::string transformers = absl::StrCat("encoder.stages.", stage - 1, ".layers.", index);
    const int64_t in = StageWidth(index == 0 ? stage - 1 : stage), out = StageWidth(stage);
    const int64_t stride = stage > 1 && index == 0 ? 2 : 1;
    const double last_gamma = config_.zero_init_residual() ? 0 : 1;
    const auto conv = [&](int i, const ConvShape& shape, double gamma = 1) {
      const ConvBnNames names = {absl::StrCat(name, ".conv", i), absl::StrCat(name, ".bn", i)};
      NameAsTransformers(names, absl::StrCat(transformers, ".layer.", i - 1), make);
      return make->MakeConvBn(names, shape, {}, gamma);
    };
    const auto three = [](int64_t from, int64_t to, int64_t s, int64_t groups) {
      return ConvShape{
          .in = from, .out = to, .kernel = 3, .stride = s, .padding = 1, .groups = groups};
    };
    // The layers are made in the order in which RunBlock() runs them.
    Block block;
    const int64_t width = GroupWidth(config_, stage) * config_.groups();
    if (plan_.bottleneck) {
      const bool caffe = config_.style() == ResNetConfig::CAFFE;
      block.convs.push_back(
          conv(1, {.in = in, .out = width, .kernel = 1, .stride = caffe ? stride : 1}));
      block.convs.push_back(conv(2, three(width, width, caffe ? 1 : stride, config_.groups())));
    } else {
      block.convs.push_back(conv(1, three(in, width, stride, 1)));
    }
    if (stride != 1 || in != out) {
      block.pools_input = config_.avg_down() && stride != 1;
      // mmpretrain and timm number the pooling as a layer of the shortcut; timm does so in stage 1
      // too, where there is none.
      const auto names = [](const std::string& parent, int first) {
        return ConvBnNames{absl::StrCat(parent, ".downsample.", first),
                           absl::StrCat(parent, ".downsample.", first + 1)};
      };
      const ConvBnNames ours = names(name, block.pools_input ? 1 : 0);
      if (config_.avg_down() && !block.pools_input) make->AlsoNamed(ours, {names(flat, 1)});
      NameAsTransformers(ours, transformers + ".shortcut", make);
      block.downsample = make->MakeConvBn(
          ours, {.in = in, .out = out, .kernel = 1, .stride = block.pools_input ? 1 : stride});
    }
    block.convs.push_back(plan_.bottleneck
                              ? conv(3, {.in = width, .out = out, .kernel = 1}, last_gamma)
                              : conv(2, three(width, out, 1, 1), last_gamma));
    if (config_.se_ratio() > 0) {
      const SqueezeExciteNames names = {name + ".se_layer.conv1.conv",
                                        name + ".se_layer.conv2.conv"};
      make->AlsoNamed(names.reduce, {flat + ".se.fc1"});
      make->AlsoNamed(names.expand, {flat + ".se.fc2"});
      block.squeeze = make->MakeSqueezeExcite(names, out, ScaledWidth(out / config_.se_ratio(), 1),
                                              Activation::kRelu, Gate::kSigmoid);
    }
    const int all = std::accumulate(plan_.blocks.begin(), plan_.blocks.end(), 0);
    block.drop_path =
        config_.drop_path() * static_cast<float>(built_) / static_cast<float>(all - 1);
    block.index = built_++;
    return block;
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    if (stage == 0) return RunStem(x, pass);
    for (const Block& block : stages_[stage - 1]) x = RunBlock(x, block, pass);
    return x;
  }

  at::Tensor RunStem(const at::Tensor& images, const StagePass& pass) const {
    at::Tensor x = images;
    for (size_t i = 0; i + 1 < stem_.size(); ++i) {
      x = ConvBnAct(x, stem_[i], {}, Activation::kRelu, pass);
    }
    return PoolsInStem() ? ConvBnReluPool(x, stem_.back(), pass)
                         : ConvBnAct(x, stem_.back(), {}, Activation::kRelu, pass);
  }

  static at::Tensor RunShortcut(const at::Tensor& x, const Block& block, const StagePass& pass) {
    if (!block.downsample.has_value()) return x;
    // At an odd side the last average has one pixel instead of two.
    const at::Tensor from = block.pools_input ? at::avg_pool2d(x, 2, 2, 0, /*ceil_mode=*/true,
                                                               /*count_include_pad=*/false)
                                              : x;
    return ConvBnAct(from, *block.downsample, {}, Activation::kNone, pass);
  }

  static at::Tensor RunBlock(const at::Tensor& x, const Block& block, const StagePass& pass) {
    at::Tensor y = x;
    for (size_t i = 0; i + 1 < block.convs.size(); ++i) {
      y = ConvBnAct(y, block.convs[i], {}, Activation::kRelu, pass);
    }
    const at::Tensor shortcut = RunShortcut(x, block, pass);
    const bool drops = pass.trained && block.drop_path > 0;
    if (!block.squeeze.has_value() && !drops) {
      return ConvBnAct(y, block.convs.back(), shortcut, Activation::kRelu, pass);
    }
    y = ConvBnAct(y, block.convs.back(), {}, Activation::kNone, pass);
    if (block.squeeze.has_value()) y = SqueezeAndExcite(y, *block.squeeze, pass);
    if (drops) y = DropPath(y, block.drop_path, pass.seed, pass.context, block.index);
    return y.add_(shortcut).relu_();
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    // The stem's convolution and its pooling, and stages 2 to 4, each halve a side and round up.
    return HalvedPixels(height, width, PoolsInStem() ? 5 : 3);
  }

  const ResNetConfig config_;
  const Plan& plan_;
  uint32_t built_ = 0;  // the number of blocks that MakeBlock() has made
  std::vector<ConvBn> stem_;
  std::array<std::vector<Block>, 4> stages_;
};

}  // namespace

std::unique_ptr<Backbone> MakeResNet(const BackboneConfig& config, const Problems& problems) {
  const Plan* const plan = FindDepth(kPlans, config.resnet().depth(), "resnet.depth", problems);
  const bool has_width =
      problems.InRange("resnet.base_channels", config.resnet().base_channels(), 1, 1024);
  if (plan == nullptr || !has_width) return nullptr;
  if (!CheckVariant(config.resnet(), *plan, problems)) return nullptr;
  return std::make_unique<ResNet>(config, *plan);
}

}  // namespace finetune
