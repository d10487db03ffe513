// Problem: VGG-11, -13, -16 and -19 (Simonyan and Zisserman 2014) with a batch norm after each
// convolution, as torchvision and mmpretrain publish them. The convolutions have biases, which the
// batch norms cancel in training.
//
// Layout: five groups of 3x3 convolutions with ReLU, each followed by 2x2 max pooling. The first
// group is the stem, the others are stages 1 to 4. Then either two hidden linear layers with ReLU
// on the maps, averaged to 7x7, which belong to the last stage; or no hidden layers, and the neck
// averages the maps.
//
// Reference: torchvision, timm and mmpretrain. agreement_test.cc and tests/peers/backbones.sh
// compare with them.
#include "src/model/vgg.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/config/problems.h"
#include "src/model/dropout.h"
#include "src/model/find_depth.h"

namespace finetune {
namespace {

// The side of the maps that the first hidden layer takes.
constexpr int64_t kPooledSide = 7;

struct Plan {
  int depth;
  std::array<int, 5> convolutions;  // in each group
};
constexpr std::array kPlans = {Plan{11, {1, 1, 2, 2, 2}}, Plan{13, {2, 2, 2, 2, 2}},
                               Plan{16, {2, 2, 3, 3, 3}}, Plan{19, {2, 2, 4, 4, 4}}};
// The channels of each group.
constexpr std::array<int64_t, 5> kWidths = {64, 128, 256, 512, 512};

class Vgg final : public Backbone {
 public:
  Vgg(const BackboneConfig& config, const Plan& plan)
      : Backbone(config), config_(config.vgg()), plan_(plan) {}

  std::string name() const override { return absl::StrCat("VGG-", plan_.depth); }
  int stages() const override { return static_cast<int>(groups_.size()) - 1; }
  // Five poolings halve a side and round down.
  InputShape input() const override { return {.channels = 3, .least_side = 32}; }
  Features features() const override {
    if (HasHidden()) return {.channels = config_.hidden_features(), .are_maps = false};
    return {.channels = kWidths.back(), .are_maps = true};
  }

  Linear BuildHead(int64_t in, int64_t classes, LayerBuilder* make) const override {
    if (!HasHidden()) return Backbone::BuildHead(in, classes, make);
    make->AlsoNamed("backbone.classifier.6", {"classifier.6", "head.fc"});
    return make->MakeNormalLinear("backbone.classifier.6", in, classes, kLinearDeviation);
  }

 private:
  static constexpr double kLinearDeviation = 0.01;

  bool HasHidden() const { return config_.hidden_features() > 0; }

  void BuildStage(int stage, LayerBuilder* make) override {
    for (int i = 0; i < plan_.convolutions[stage]; ++i) {
      // mmpretrain counts a convolution with its batch norm and ReLU as one layer, torchvision and
      // timm as three. Each of them counts a pooling as one.
      const std::string name = absl::StrCat("backbone.features.", built_ + stage);
      const int first = 3 * built_ + stage;
      const ConvBnNames names = {name + ".conv", name + ".bn"};
      make->AlsoNamed(names,
                      {{absl::StrCat("features.", first), absl::StrCat("features.", first + 1)}});
      groups_[stage].push_back(make->MakeConvBn(
          names, {.in = width_, .out = kWidths[stage], .kernel = 3, .padding = 1, .bias = true}));
      width_ = kWidths[stage];
      ++built_;
    }
    if (stage < stages() || !HasHidden()) return;
    const int64_t hidden = features().channels;
    const auto linear = [&](int layer, const std::string& timm, int64_t in) {
      const std::string flat = absl::StrCat("classifier.", layer);
      make->AlsoNamed(absl::StrCat("backbone.", flat), {flat, timm});
      return make->MakeNormalLinear(absl::StrCat("backbone.", flat), in, hidden, kLinearDeviation);
    };
    hidden_ = {linear(0, "pre_logits.fc1", width_ * kPooledSide * kPooledSide),
               linear(3, "pre_logits.fc2", hidden)};
  }

  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& pass) override {
    for (const ConvBn& layer : groups_[stage]) {
      x = ConvBnAct(x, layer, {}, Activation::kRelu, pass);
    }
    x = at::max_pool2d(x, 2, 2);
    return stage == stages() && HasHidden() ? RunHidden(x, pass) : x;
  }

  // Computes in float32, as the head does.
  at::Tensor RunHidden(const at::Tensor& maps, const StagePass& pass) const {
    const at::Tensor pooled =
        at::adaptive_avg_pool2d(maps.to(at::kFloat), {kPooledSide, kPooledSide});
    at::Tensor x = at::relu(at::linear(pooled.flatten(1), hidden_[0].weight, hidden_[0].bias));
    if (pass.trained && config_.hidden_dropout() > 0) {
      x = Dropout(x, config_.hidden_dropout(), pass.seed, pass.context, /*layer=*/1);
    }
    return at::relu(at::linear(x, hidden_[1].weight, hidden_[1].bias));
  }

  int64_t LastBatchNormValues(int64_t height, int64_t width) const override {
    // Four poolings come before the last group.
    return (height / 16) * (width / 16);
  }

  const VggConfig config_;
  const Plan& plan_;
  int built_ = 0;      // convolutions
  int64_t width_ = 3;  // channels of the last layer that was built
  std::array<std::vector<ConvBn>, 5> groups_;
  std::array<Linear, 2> hidden_;
};

}  // namespace

std::unique_ptr<Backbone> MakeVgg(const BackboneConfig& config, const Problems& problems) {
  const VggConfig& vgg = config.vgg();
  const Plan* const plan = FindDepth(kPlans, vgg.depth(), "vgg.depth", problems);
  problems.IsFraction("vgg.hidden_dropout", vgg.hidden_dropout());
  if (vgg.hidden_dropout() > 0 && vgg.hidden_features() == 0) {
    problems.Error("vgg.hidden_dropout", "is set, but hidden_features: 0 leaves no hidden layer");
  }
  const bool has_hidden =
      problems.InRange("vgg.hidden_features", vgg.hidden_features(), 0, 1 << 16);
  if (plan == nullptr || !has_hidden) return nullptr;
  return std::make_unique<Vgg>(config, *plan);
}

}  // namespace finetune
