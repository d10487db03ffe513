#include "src/model/lenet.h"

#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tanh.h>

#include <string>

namespace finetune {
namespace {

class LeNet5 final : public Backbone {
 public:
  explicit LeNet5(const BackboneConfig& config) : Backbone(config) {}

  std::string name() const override { return "LeNet-5"; }
  int stages() const override { return 2; }
  InputShape input() const override { return {.channels = 1, .side = 32}; }
  Features features() const override { return {.channels = 84, .are_maps = false}; }
  NormalizeConfig usual_normalization() const override { return {}; }

  Linear BuildHead(int64_t in, int64_t classes, LayerBuilder* make) const override {
    return make->MakeLinear("backbone.classifier.2", in, classes);
  }

 private:
  void BuildStage(int stage, LayerBuilder* make) override {
    switch (stage) {
      case 0:
        conv1_ = make->MakeConv("backbone.features.0", {.in = 1, .out = 6, .kernel = 5});
        break;
      case 1:
        conv2_ = make->MakeConv("backbone.features.3", {.in = 6, .out = 16, .kernel = 5});
        break;
      default:
        conv3_ = make->MakeConv("backbone.features.6", {.in = 16, .out = 120, .kernel = 5});
        linear_ = make->MakeLinear("backbone.classifier.0", 120, features().channels);
    }
  }

  // Always computes in float32: at this size bfloat16 would not be faster.
  at::Tensor RunStage(int stage, at::Tensor x, const StagePass& /*pass*/) override {
    const auto conv_tanh = [](const at::Tensor& in, const Conv& conv) {
      return at::tanh(at::conv2d(in, conv.weight, conv.bias));
    };
    switch (stage) {
      case 0:
        return at::avg_pool2d(conv_tanh(x.to(at::kFloat), conv1_), 2, 2);
      case 1:
        return at::avg_pool2d(conv_tanh(x, conv2_), 2, 2);
      default:
        return at::tanh(at::linear(conv_tanh(x, conv3_).flatten(1), linear_.weight, linear_.bias));
    }
  }

  int64_t LastBatchNormValues(int64_t /*height*/, int64_t /*width*/) const override { return 0; }

  Conv conv1_, conv2_, conv3_;
  Linear linear_;
};

}  // namespace

std::unique_ptr<Backbone> MakeLeNet5(const BackboneConfig& config) {
  return std::make_unique<LeNet5>(config);
}

}  // namespace finetune
