#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/optim/optimizer.h"
#include "src/testing/errors_of.h"
#include "src/testing/from_text.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;

std::unique_ptr<Optimizer> Make(const OptimizerConfig& config, std::vector<ParameterSpan> spans,
                                const at::Tensor& values) {
  auto optimizer = CreateOptimizer(config, std::move(spans), values);
  EXPECT_TRUE(optimizer.ok()) << optimizer.status();
  return *std::move(optimizer);
}

at::Tensor Floats(const std::vector<float>& values) { return at::tensor(values).to(TestDevice()); }

// Expects equal values up to a few float32 roundings, because the packages multiply and divide in
// another order, and the variance of a centered case is a difference. `largest`: the largest
// magnitude so far of each element, which this function updates; empty before the first call.
void ExpectSame(const at::Tensor& actual, const std::vector<float>& expected,
                std::vector<float>* largest) {
  const at::Tensor host = actual.to(at::kCPU);
  ASSERT_EQ(host.numel(), static_cast<int64_t>(expected.size()));
  largest->resize(expected.size(), 0);
  for (size_t i = 0; i < expected.size(); ++i) {
    (*largest)[i] = std::max((*largest)[i], std::abs(expected[i]));
    EXPECT_NEAR(host.const_data_ptr<float>()[i], expected[i], 3e-6 * (*largest)[i])
        << "element " << i;
  }
}

// The fixture holds the results of torch.optim.RMSprop and of timm's RMSpropTF, written by
// tests/fixtures/optim/make_fixtures.py.
TEST(RmsPropTest, StepsMatchPyTorchAndTimm) {
  std::ifstream file("tests/fixtures/optim/rmsprop.json");
  ASSERT_TRUE(file) << "tests/fixtures/optim/rmsprop.json is not there";
  const nlohmann::json fixture = nlohmann::json::parse(file);
  ASSERT_EQ(fixture["cases"].size(), 8u);
  for (const nlohmann::json& one : fixture["cases"]) {
    const nlohmann::json& settings = one["settings"];
    SCOPED_TRACE(absl::StrCat(std::string(one["origin"]), " ", settings.dump()));
    OptimizerConfig config;
    RmsPropConfig& rmsprop = *config.mutable_rmsprop();
    if (one["origin"] == "TENSORFLOW") rmsprop.set_origin(RmsPropConfig::TENSORFLOW);
    rmsprop.set_alpha(settings["alpha"]);
    rmsprop.set_epsilon(settings["eps"]);
    rmsprop.set_momentum(settings.value("momentum", 0.0));
    rmsprop.set_weight_decay(settings.value("weight_decay", 0.0));
    rmsprop.set_centered(settings.value("centered", false));
    const at::Tensor values = Floats(one["start"]);
    const auto optimizer = Make(config, {{"a", 0, 3}, {"b", 3, 5}}, values);
    const size_t tensors = 1 + (rmsprop.momentum() > 0 ? 1 : 0) + (rmsprop.centered() ? 1 : 0);
    std::map<std::string, std::vector<float>> largest;  // by the tensor's name
    int64_t iteration = 0;
    for (const nlohmann::json& step : one["steps"]) {
      SCOPED_TRACE(absl::StrCat("iteration ", iteration));
      optimizer->Step(Floats(step["gradient"]), step["lr"], 1, iteration++);
      ExpectSame(values, step["values"], &largest["values"]);
      const TensorList state = optimizer->State();
      ASSERT_EQ(state.size(), tensors);
      for (const NamedTensor& tensor : state) {
        SCOPED_TRACE(tensor.name);
        ExpectSame(tensor.tensor, step[tensor.name], &largest[tensor.name]);
      }
    }
    EXPECT_EQ(iteration, 4);
  }
}

// A large tensor is divided into vectors and between threads. Every element must get the same
// result as alone.
TEST(RmsPropTest, UpdatesEveryElementOfALargeTensorAlike) {
  constexpr int64_t kCount = 3 * 16384 + 7;
  for (const char* text : {"rmsprop {}", "rmsprop { momentum: 0.9 }", "rmsprop { centered: true }",
                           "rmsprop { momentum: 0.9 centered: true origin: TENSORFLOW }"}) {
    SCOPED_TRACE(text);
    const at::Tensor values = at::full({kCount}, 0.5f, TestDevice());
    const auto optimizer = Make(FromText<OptimizerConfig>(text), {{"a", 0, kCount}}, values);
    for (int i = 0; i < 3; ++i) {
      optimizer->Step(at::full({kCount}, 0.25f * (i + 1), TestDevice()), 0.01, 1, i);
    }
    EXPECT_LT(values[0].item<float>(), 0.5f);
    EXPECT_TRUE(values.equal(values[0].expand({kCount})));
  }
}

// With equal gradients the variance is 0, and rounding may make the difference negative.
TEST(RmsPropTest, CenteredStaysFiniteWithEqualGradients) {
  const at::Tensor values = at::full({1000}, 0.5f, TestDevice());
  const auto optimizer = Make(FromText<OptimizerConfig>("rmsprop { alpha: 0.5 centered: true }"),
                              {{"a", 0, 1000}}, values);
  for (int i = 0; i < 200; ++i) {
    optimizer->Step(at::full({1000}, 0.1f + 0.001f * 7, TestDevice()), 1e-9, 1, i);
  }
  EXPECT_TRUE(values.isfinite().all().item<bool>());
}

TEST(RmsPropTest, AppliesMultipliersOfRules) {
  const at::Tensor values = Floats({1, 1, 1});
  // With alpha 0 and a momentum of 0 a step is lr * g / (|g| + epsilon).
  const auto optimizer =
      Make(FromText<OptimizerConfig>(
               "rmsprop { alpha: 0 weight_decay: 1 } rule { match: 'bn' weight_decay_multiplier: 0 "
               "} rule { match: '^head' lr_multiplier: 10 }"),
           {{"x.bn.weight", 0, 1}, {"head.fc.weight", 1, 1}, {"x.conv", 2, 1}}, values);
  optimizer->Step(at::zeros({3}, TestDevice()), 0.01, 1, 0);
  std::vector<float> largest;
  ExpectSame(values, {1.0f, 0.9f, 0.99f}, &largest);
}

TEST(RmsPropTest, LeavesMemoryBetweenSpansAlone) {
  const at::Tensor values = Floats({1, 1, 1, 1});
  const auto optimizer = Make(FromText<OptimizerConfig>("rmsprop { origin: TENSORFLOW }"),
                              {{"a", 0, 1}, {"b", 3, 1}}, values);
  optimizer->Step(Floats({1, 1, 1, 1}), 0.5, 1, 0);
  EXPECT_EQ(values[1].item<float>(), 1);
  EXPECT_EQ(values[2].item<float>(), 1);
  EXPECT_NE(values[3].item<float>(), 1);
}

TEST(RmsPropTest, ScalesGradientsFirst) {
  const at::Tensor scaled = Floats({1, -2}), plain = Floats({1, -2});
  const auto config = FromText<OptimizerConfig>("rmsprop { momentum: 0.9 centered: true }");
  const auto with_scale = Make(config, {{"a", 0, 2}}, scaled);
  const auto without = Make(config, {{"a", 0, 2}}, plain);
  with_scale->Step(Floats({4, 8}), 0.1, 0.25, 0);
  without->Step(Floats({1, 2}), 0.1, 1, 0);
  EXPECT_TRUE(scaled.equal(plain));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(with_scale->State()[i].tensor.equal(without->State()[i].tensor));
  }
}

TEST(RmsPropTest, CheckReportsEveryFieldThatIsWrong) {
  EXPECT_THAT(
      ErrorsOf(CheckOptimizer, "optimizer",
               "rmsprop { alpha: 1 epsilon: 0 momentum: 1 weight_decay: -0.5 }"),
      ElementsAre(
          Problem{"optimizer.rmsprop.lr", "is not set"},
          Problem{"optimizer.rmsprop.alpha", "is 1; expected at least 0 and less than 1"},
          Problem{"optimizer.rmsprop.epsilon", "is 0; expected 1e-37 or more"},
          Problem{"optimizer.rmsprop.momentum", "is 1; expected at least 0 and less than 1"},
          Problem{"optimizer.rmsprop.weight_decay", "is -0.5; expected 0 or more"}));
}

}  // namespace
}  // namespace finetune
