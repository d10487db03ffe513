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

// Expects equal values up to a few float32 roundings, because PyTorch multiplies and divides in
// another order. `largest`: the largest magnitude so far of each element, which this function
// updates; empty before the first call. An average that has fallen since then keeps the rounding
// errors of its largest value.
void ExpectSame(const at::Tensor& actual, const std::vector<float>& expected,
                std::vector<float>* largest) {
  const at::Tensor host = actual.to(at::kCPU);
  ASSERT_EQ(host.numel(), static_cast<int64_t>(expected.size()));
  largest->resize(expected.size(), 0);
  for (size_t i = 0; i < expected.size(); ++i) {
    (*largest)[i] = std::max((*largest)[i], std::abs(expected[i]));
    EXPECT_NEAR(host.const_data_ptr<float>()[i], expected[i], 1e-6 * (*largest)[i])
        << "element " << i;
  }
}

// The fixture holds the results of torch.optim.AdamW, written by
// tests/fixtures/optim/make_fixtures.py.
TEST(AdamWTest, StepsMatchPyTorch) {
  std::ifstream file("tests/fixtures/optim/adamw.json");
  ASSERT_TRUE(file) << "tests/fixtures/optim/adamw.json is not there";
  const nlohmann::json fixture = nlohmann::json::parse(file);
  ASSERT_EQ(fixture["cases"].size(), 3u);
  for (const nlohmann::json& one : fixture["cases"]) {
    const nlohmann::json& settings = one["settings"];
    SCOPED_TRACE(settings.dump());
    OptimizerConfig config;
    AdamWConfig& adamw = *config.mutable_adamw();
    if (settings.contains("betas")) {
      adamw.set_beta1(settings["betas"][0]);
      adamw.set_beta2(settings["betas"][1]);
      adamw.set_epsilon(settings["eps"]);
      adamw.set_weight_decay(settings["weight_decay"]);
    }
    const at::Tensor values = Floats(one["start"]);
    const auto optimizer = Make(config, {{"a", 0, 3}, {"b", 3, 5}}, values);
    std::map<std::string, std::vector<float>> largest;  // by the tensor's name
    int64_t iteration = 0;
    for (const nlohmann::json& step : one["steps"]) {
      SCOPED_TRACE(absl::StrCat("iteration ", iteration));
      optimizer->Step(Floats(step["gradient"]), step["lr"], 1, iteration++);
      ExpectSame(values, step["values"], &largest["values"]);
      const TensorList state = optimizer->State();
      ASSERT_EQ(state.size(), 2u);
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
TEST(AdamWTest, UpdatesEveryElementOfALargeTensorAlike) {
  constexpr int64_t kCount = 3 * 16384 + 7;
  const at::Tensor values = at::full({kCount}, 0.5f, TestDevice());
  const auto optimizer = Make(FromText<OptimizerConfig>("adamw {}"), {{"a", 0, kCount}}, values);
  for (int i = 0; i < 3; ++i) {
    optimizer->Step(at::full({kCount}, 0.25f * (i + 1), TestDevice()), 0.01, 1, i);
  }
  EXPECT_LT(values[0].item<float>(), 0.5f);
  EXPECT_TRUE(values.equal(values[0].expand({kCount})));
}

TEST(AdamWTest, AppliesMultipliersOfRules) {
  const at::Tensor values = Floats({1, 1, 1});
  const auto optimizer =
      Make(FromText<OptimizerConfig>(
               "adamw { weight_decay: 1 } rule { match: 'bn' weight_decay_multiplier: 0 } "
               "rule { match: '^head' lr_multiplier: 10 }"),
           {{"x.bn.weight", 0, 1}, {"head.fc.weight", 1, 1}, {"x.conv", 2, 1}}, values);
  optimizer->Step(at::zeros({3}, TestDevice()), 0.01, 1, 0);
  std::vector<float> largest;
  ExpectSame(values, {1.0f, 0.9f, 0.99f}, &largest);
}

TEST(AdamWTest, LeavesMemoryBetweenSpansAlone) {
  const at::Tensor values = Floats({1, 1, 1, 1});
  const auto optimizer =
      Make(FromText<OptimizerConfig>("adamw {}"), {{"a", 0, 1}, {"b", 3, 1}}, values);
  optimizer->Step(Floats({1, 1, 1, 1}), 0.5, 1, 0);
  EXPECT_EQ(values[1].item<float>(), 1);
  EXPECT_EQ(values[2].item<float>(), 1);
  EXPECT_NE(values[3].item<float>(), 1);
}

TEST(AdamWTest, ScalesGradientsFirst) {
  const at::Tensor scaled = Floats({1, -2}), plain = Floats({1, -2});
  const auto with_scale = Make(FromText<OptimizerConfig>("adamw {}"), {{"a", 0, 2}}, scaled);
  const auto without = Make(FromText<OptimizerConfig>("adamw {}"), {{"a", 0, 2}}, plain);
  with_scale->Step(Floats({4, 8}), 0.1, 0.25, 0);
  without->Step(Floats({1, 2}), 0.1, 1, 0);
  EXPECT_TRUE(scaled.equal(plain));
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(with_scale->State()[i].tensor.equal(without->State()[i].tensor));
  }
}

TEST(AdamWTest, CheckReportsEveryFieldThatIsWrong) {
  ProblemList found;
  CheckOptimizer(
      FromText<OptimizerConfig>(
          "adamw { beta1: 1 beta2: nan epsilon: 0 weight_decay: -0.5 } rule { match: 'a' }"),
      Problems(&found, "optimizer"));
  EXPECT_THAT(
      found.errors,
      ElementsAre(Problem{"optimizer.adamw.lr", "is not set"},
                  Problem{"optimizer.adamw.beta1", "is 1; expected at least 0 and less than 1"},
                  Problem{"optimizer.adamw.beta2", "is nan; expected at least 0 and less than 1"},
                  Problem{"optimizer.adamw.epsilon", "is 0; expected 1e-37 or more"},
                  Problem{"optimizer.adamw.weight_decay", "is -0.5; expected 0 or more"}));
}

}  // namespace
}  // namespace finetune
