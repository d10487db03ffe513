// NaN and infinity reach the result of every fused operator wherever they reach the result of
// LibTorch's separate operators. So a network that has diverged shows it with either engine.

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "src/model/layers.h"
#include "src/model/loss.h"
#include "src/model/testing.h"
#include "src/ops/conv.h"

namespace finetune {
namespace {

constexpr at::MemoryFormat kLayout = at::MemoryFormat::ChannelsLast;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// One shape for each kernel that the engines choose by shape.
struct Shape {
  const char* name;
  int64_t in, out, kernel, stride, size;
};

ForwardMode Mode(bool fused, bool bfloat16 = false) {
  ForwardMode mode;
  mode.fused = fused;
  mode.bfloat16 = bfloat16;
  return mode;
}

class NotFiniteTest : public testing::TestWithParam<Shape> {
 protected:
  static constexpr int64_t kImages = 4;

  static at::Tensor Input() {
    const Shape& s = GetParam();
    return ByFormula("x", {kImages, s.in, s.size, s.size}).contiguous(kLayout);
  }
  static at::Tensor Residual() {
    const Shape& s = GetParam();
    const int64_t size = (s.size - 1) / s.stride + 1;
    return ByFormula("residual", {kImages, s.out, size, size}).contiguous(kLayout);
  }
  static ConvBn Layer() {
    const Shape& s = GetParam();
    ConvBn layer;
    layer.conv = {
        .weight = ByFormula("w", {s.out, s.in, s.kernel, s.kernel}, 0.1).contiguous(kLayout),
        .stride = s.stride,
        .padding = s.kernel / 2};
    layer.norm = {.gamma = ByFormula("gamma", {s.out}, 0.25, 1),
                  .beta = ByFormula("beta", {s.out}),
                  .running_mean = ByFormula("mean", {s.out}, 0.5),
                  .running_var = ByFormula("var", {s.out}, 0.5, 1),
                  .num_batches_tracked = at::zeros({}, at::kLong)};
    return layer;
  }

  // Expects that `fused` is NaN where `plain` is NaN, and not finite where `plain` is not finite.
  // Winograd's algorithm may have more such values, in the tiles that contain a NaN or an infinity.
  static void ExpectHandedOn(const at::Tensor& fused, const at::Tensor& plain,
                             const std::string& what) {
    ASSERT_FALSE(plain.isfinite().all().item<bool>()) << what << " is hidden by PLAIN";
    const auto implies = [](const at::Tensor& a, const at::Tensor& b) {
      return a.logical_not().logical_or(b).all().item<bool>();
    };
    EXPECT_TRUE(implies(plain.isnan(), fused.isnan())) << what;
    EXPECT_TRUE(implies(fused.isfinite(), plain.isfinite())) << what;
    const bool winograd = GetParam().kernel == 3 && GetParam().stride == 1;
    if (!winograd) {
      EXPECT_TRUE(fused.isfinite().equal(plain.isfinite())) << what;
    }
  }
};

TEST_P(NotFiniteTest, FrozenLayersHandItOn) {
  struct Fault {
    const char* name;
    std::function<void(at::Tensor& x, at::Tensor& residual, ConvBn& layer)> make;
    bool in_residual = false;
  };
  const std::vector<Fault> faults = {
      {"NaN in x", [](auto& x, auto&, auto&) { x[1][2][4][4].fill_(kNan); }},
      {"infinity in x", [](auto& x, auto&, auto&) { x[1][2][4][4].fill_(kInfinity); }},
      {"-infinity in x", [](auto& x, auto&, auto&) { x[1][2][4][4].fill_(-kInfinity); }},
      {"NaN in the weight", [](auto&, auto&, auto& l) { l.conv.weight[3][1][0][0].fill_(kNan); }},
      {"a negative variance", [](auto&, auto&, auto& l) { l.norm.running_var[3].fill_(-1); }},
      {"NaN in the mean", [](auto&, auto&, auto& l) { l.norm.running_mean[3].fill_(kNan); }},
      {"NaN in beta", [](auto&, auto&, auto& l) { l.norm.beta[3].fill_(kNan); }},
      {"NaN in the residual", [](auto&, auto& r, auto&) { r[2][3][1][1].fill_(kNan); }, true},
      {"infinity in the residual", [](auto&, auto& r, auto&) { r[2][3][1][1].fill_(kInfinity); },
       true},
  };
  for (const bool bfloat16 : {false, true}) {
    for (const bool add : {false, true}) {
      for (const Fault& fault : faults) {
        if (fault.in_residual && !add) continue;
        const at::ScalarType type = bfloat16 ? at::kBFloat16 : at::kFloat;
        at::Tensor results[2];
        for (const bool fused : {false, true}) {
          at::Tensor x = Input(), residual = Residual();
          ConvBn layer = Layer();
          fault.make(x, residual, layer);
          const ForwardMode mode = Mode(fused, bfloat16);
          const at::Tensor input = x.to(type);
          // With FUSED the result of a frozen layer has the type of the computation, and so must
          // the residual.
          const at::Tensor added = add ? residual.to(fused ? ConvType(input) : type) : at::Tensor();
          const StagePass pass{mode, /*trained=*/false, /*batch_statistics=*/false};
          results[fused] = ConvBnAct(input, layer, added, Activation::kRelu, pass).to(at::kFloat);
        }
        ExpectHandedOn(
            results[1], results[0],
            absl::StrCat(fault.name, add ? ", added" : "", bfloat16 ? ", bfloat16" : ""));
      }
    }
  }
}

TEST_P(NotFiniteTest, TrainedLayersHandItOnForwardAndBackward) {
  for (const float fault : {kNan, kInfinity}) {
    for (const bool batch_statistics : {false, true}) {
      SCOPED_TRACE(testing::Message() << fault << (batch_statistics ? ", of the batch" : ""));
      struct Result {
        at::Tensor y, dx, dw, dgamma, dbeta, running_mean, running_var;
      } results[2];
      for (const bool fused : {false, true}) {
        at::Tensor x = Input();
        x[1][2][4][4].fill_(fault);
        x.requires_grad_();
        ConvBn layer = Layer();
        for (at::Tensor* parameter : {&layer.conv.weight, &layer.norm.gamma, &layer.norm.beta}) {
          parameter->requires_grad_();
        }
        const ForwardMode mode = Mode(fused);
        const at::Tensor y =
            ConvBnAct(x, layer, Residual(), Activation::kRelu,
                      {.mode = mode, .trained = true, .batch_statistics = batch_statistics});
        y.backward(ByFormula("dy", y.sizes()).contiguous(kLayout));
        results[fused] = {y.detach(),
                          x.grad(),
                          layer.conv.weight.grad(),
                          layer.norm.gamma.grad(),
                          layer.norm.beta.grad(),
                          layer.norm.running_mean,
                          layer.norm.running_var};
      }
      const Result &plain = results[0], &fused = results[1];
      ExpectHandedOn(fused.y, plain.y, "y");
      if (fault == kNan) {
        ExpectHandedOn(fused.dx, plain.dx, "dx");
        ExpectHandedOn(fused.dw, plain.dw, "dw");
        ExpectHandedOn(fused.dgamma, plain.dgamma, "dgamma");
      }
      if (batch_statistics) {
        ExpectHandedOn(fused.running_mean, plain.running_mean, "running_mean");
        ExpectHandedOn(fused.running_var, plain.running_var, "running_var");
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, NotFiniteTest,
                         testing::Values(Shape{"Winograd", 64, 64, 3, 1, 16},
                                         Shape{"Pointwise", 64, 64, 1, 1, 16},
                                         Shape{"Stem", 3, 64, 7, 2, 32},
                                         Shape{"Strided", 32, 64, 3, 2, 16},
                                         Shape{"OddChannels", 24, 20, 3, 1, 10},
                                         Shape{"NarrowAndStrided", 8, 32, 1, 2, 12}),
                         [](const auto& info) { return std::string(info.param.name); });

// In evaluation the logits are NaN for the image that has a NaN and finite for the other one. A NaN
// weight or a negative variance in a frozen layer makes the loss NaN.
TEST(NotFiniteModelTest, BothEnginesSayNan) {
  for (const char* config :
       {"depth: 18 base_channels: 16 stem: CIFAR", "depth: 50 base_channels: 8 stem: IMAGENET"}) {
    const std::string resnet = absl::StrCat("backbone { resnet { ", config, " } ");
    const std::string head = " } head { num_classes: 3 }";
    const at::Tensor labels = at::zeros({2}, at::kLong);
    const at::Tensor images = ByFormula("images", {2, 3, 32, 32}, 2).contiguous(kLayout);
    at::Tensor faulty = images.clone();
    faulty[1][0][9][9].fill_(kNan);
    for (const bool fused : {false, true}) {
      for (const bool bfloat16 : {false, true}) {
        SCOPED_TRACE(absl::StrCat(resnet, fused ? ", fused" : "", bfloat16 ? ", bfloat16" : ""));
        ClassifierOptions options;
        options.mode = Mode(fused, bfloat16);
        auto model = MakeModel(resnet + head, options);
        const at::Tensor logits = model->Forward(faulty, kEvaluation);
        EXPECT_TRUE(logits[0].isfinite().all().item<bool>());
        EXPECT_TRUE(logits[1].isnan().all().item<bool>());

        for (const char* name : {"backbone.conv1.weight", "backbone.bn1.running_var"}) {
          model = MakeModel(absl::StrCat(resnet, "frozen_stages: 1", head), options);
          const at::NoGradGuard no_grad;
          Named(*model, name).select(0, 2).fill_(name[9] == 'c' ? kNan : -1);
          model->ParametersChanged(/*all=*/true);
          for (const bool training : {false, true}) {
            const at::Tensor loss = CrossEntropySum(model->Forward(images, {.training = training}),
                                                    labels, /*label_smoothing=*/0);
            EXPECT_TRUE(std::isnan(loss.item<float>())) << name;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace finetune
