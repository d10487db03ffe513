#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <fstream>
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

// The tests of LARS and LAMB, which share their passes over the parameters.

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

at::Tensor Floats(const std::vector<float>& values) { return at::tensor(values).to(TestDevice()); }

std::vector<float> Values(const at::Tensor& tensor) {
  const at::Tensor host = tensor.to(at::kCPU).contiguous();
  return {host.const_data_ptr<float>(), host.const_data_ptr<float>() + host.numel()};
}

// The fixtures' model: a weight, its bias, and a weight that starts at 0.
const std::vector<ParameterSpan> kSpans = {{"weight", 0, 21}, {"bias", 21, 3}, {"zero", 24, 4}};
const TraitsByName kTraits = {{"bias", {0, /*is_norm_or_bias=*/true}}};

std::unique_ptr<Optimizer> Make(const OptimizerConfig& config, std::vector<ParameterSpan> spans,
                                const at::Tensor& values, const TraitsByName& traits) {
  auto optimizer = CreateOptimizer(config, std::move(spans), values, traits);
  EXPECT_TRUE(optimizer.ok()) << optimizer.status();
  return *std::move(optimizer);
}

OptimizerConfig LarsOf(const nlohmann::json& settings) {
  OptimizerConfig config;
  LarsConfig& lars = *config.mutable_lars();
  lars.set_lr(1);
  lars.set_weight_decay(settings["weight_decay"]);
  lars.set_always_adapt(settings["always_adapt"]);
  lars.set_momentum(settings["momentum"]);
  if (settings.contains("nesterov")) lars.set_nesterov(settings["nesterov"]);
  if (settings.contains("trust_coeff")) lars.set_trust_coefficient(settings["trust_coeff"]);
  if (settings.contains("eps")) lars.set_epsilon(settings["eps"]);
  if (settings.contains("trust_clip")) lars.set_trust_clip(settings["trust_clip"]);
  return config;
}

OptimizerConfig LambOf(const nlohmann::json& settings) {
  OptimizerConfig config;
  LambConfig& lamb = *config.mutable_lamb();
  lamb.set_lr(1);
  lamb.set_weight_decay(settings["weight_decay"]);
  lamb.set_always_adapt(settings["always_adapt"]);
  if (settings.contains("betas")) {
    lamb.set_beta1(settings["betas"][0]);
    lamb.set_beta2(settings["betas"][1]);
  }
  if (settings.contains("eps")) lamb.set_epsilon(settings["eps"]);
  if (settings.contains("trust_clip")) lamb.set_trust_clip(settings["trust_clip"]);
  return config;
}

// Takes the steps of a fixture by tests/fixtures/optim/make_fixtures.py and compares the parameters
// and the optimizer's state after each. `names`: the fixture's names of the state's tensors.
void ExpectTheFixturesSteps(const std::string& path,
                            OptimizerConfig (*config_of)(const nlohmann::json&),
                            const std::vector<std::string>& names) {
  std::ifstream file(path);
  ASSERT_TRUE(file) << path << " is not there";
  const nlohmann::json fixture = nlohmann::json::parse(file);
  ASSERT_EQ(fixture["cases"].size(), 4u);
  for (const nlohmann::json& one : fixture["cases"]) {
    SCOPED_TRACE(one["settings"].dump());
    OptimizerConfig config = config_of(one["settings"]);
    config.set_decay_norm_and_bias(false);
    const at::Tensor values = Floats(one["start"]);
    const auto optimizer = Make(config, kSpans, values, kTraits);
    int64_t iteration = 0;
    for (const nlohmann::json& step : one["steps"]) {
      SCOPED_TRACE(absl::StrCat("iteration ", iteration));
      // A gradient of twice the size with a scale of 1/2 is the fixture's gradient.
      optimizer->Step(Floats(step["gradient"]).mul(2), step["lr"], 0.5, iteration++);
      TensorList found = {{"values", values}};
      for (const NamedTensor& state : optimizer->State()) found.push_back(state);
      ASSERT_EQ(found.size(), names.size());
      for (size_t i = 0; i < found.size(); ++i) {
        const auto expected = step[names[i]].get<std::vector<float>>();
        const std::vector<float> actual = Values(found[i].tensor);
        ASSERT_EQ(actual.size(), expected.size());
        for (size_t j = 0; j < actual.size(); ++j) {
          EXPECT_NEAR(actual[j], expected[j], 1e-6 + 2e-6 * std::abs(expected[j]))
              << found[i].name << " " << j;
        }
      }
    }
  }
}

TEST(LarsTest, StepsMatchTimms) {
  ExpectTheFixturesSteps("tests/fixtures/optim/lars.json", LarsOf, {"values", "momentum_buffer"});
}

TEST(LambTest, StepsMatchTimms) {
  ExpectTheFixturesSteps("tests/fixtures/optim/lamb.json", LambOf,
                         {"values", "exp_avg", "exp_avg_sq"});
}

class TrustRatioTest : public testing::TestWithParam<std::string> {
 protected:
  OptimizerConfig Config(const std::string& settings, const std::string& rest = "") const {
    return FromText<OptimizerConfig>(absl::StrCat(GetParam(), " { lr: 1 ", settings, " } ", rest));
  }
};

// 100,000 elements are several blocks, so several threads take part in a sum.
TEST_P(TrustRatioTest, GivesTheSameBitsOnAnyNumberOfThreads) {
  if (!TestDevice().is_cpu()) GTEST_SKIP() << "threads compute on the CPU alone";
  constexpr int64_t kCount = 100'001;
  at::manual_seed(5);
  const at::Tensor start = at::randn({kCount}), gradient = at::randn({kCount});
  std::vector<std::vector<float>> results;
  const int threads = at::get_num_threads();
  for (const int count : {1, 2, 3}) {
    at::set_num_threads(count);
    const at::Tensor values = start.clone();
    const auto optimizer = Make(Config("weight_decay: 0.1"),
                                {{"a", 0, 99'000}, {"b", 99'000, kCount - 99'000}}, values, {});
    for (int step = 0; step < 3; ++step) optimizer->Step(gradient, 0.1, 1, step);
    results.push_back(Values(values));
  }
  at::set_num_threads(threads);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  EXPECT_NE(results[0], Values(start));
}

// A parameter's step does not depend on the parameters beside it.
TEST_P(TrustRatioTest, EachParameterHasItsOwnRatio) {
  const at::Tensor alone = Floats({3, 4}), together = Floats({3, 4, 100, -100});
  const OptimizerConfig config = Config("weight_decay: 0.1");
  Make(config, {{"a", 0, 2}}, alone, {})->Step(Floats({1, 2}), 0.1, 1, 0);
  Make(config, {{"a", 0, 2}, {"b", 2, 2}}, together, {})->Step(Floats({1, 2, 9, 7}), 0.1, 1, 0);
  EXPECT_EQ(Values(together.narrow(0, 0, 2)), Values(alone));
}

// The ratio scales a step to the size of its parameter. Where it is 1 in both cases, the two steps
// are the same.
TEST_P(TrustRatioTest, ParametersOfOneDimensionOrWithoutWeightDecayHaveTheRatioOne) {
  const auto step = [&](const OptimizerConfig& config, const TraitsByName& traits) {
    const at::Tensor values = Floats({30, 40});
    Make(config, {{"a", 0, 2}}, values, traits)->Step(Floats({1, 2}), 0.1, 1, 0);
    return Values(values);
  };
  const TraitsByName bias = {{"a", {0, /*is_norm_or_bias=*/true}}};
  const std::vector<float> plain = step(Config("weight_decay: 0"), {});
  EXPECT_EQ(step(Config("weight_decay: 0.1", "decay_norm_and_bias: false"), bias), plain);
  EXPECT_EQ(step(Config("weight_decay: 0.1", "rule { match: 'a' weight_decay_multiplier: 0 }"), {}),
            plain);
  EXPECT_NE(step(Config("weight_decay: 0.1"), {}), step(Config("weight_decay: 0.1"), bias));
  EXPECT_NE(step(Config("weight_decay: 0 always_adapt: true"), bias), plain);
}

TEST_P(TrustRatioTest, LeavesMemoryBetweenSpansAlone) {
  const at::Tensor values = Floats({1, 2, 3, 4});
  Make(Config("weight_decay: 0.1"), {{"b", 3, 1}, {"a", 0, 1}}, values, {})
      ->Step(Floats({1, 1, 1, 1}), 0.5, 1, 0);
  EXPECT_THAT(Values(values.narrow(0, 1, 2)), ElementsAre(2, 3));
  EXPECT_NE(Values(values)[0], 1);
  EXPECT_NE(Values(values)[3], 4);
}

TEST_P(TrustRatioTest, AppliesMultipliersOfRules) {
  const at::Tensor values = Floats({3, 4}), slow = Floats({3, 4});
  Make(Config("weight_decay: 0.1"), {{"a", 0, 2}}, values, {})->Step(Floats({1, 2}), 0.05, 1, 0);
  Make(Config("weight_decay: 0.1", "rule { match: 'a' lr_multiplier: 0.5 }"), {{"a", 0, 2}}, slow,
       {})
      ->Step(Floats({1, 2}), 0.1, 1, 0);
  EXPECT_EQ(Values(slow), Values(values));
}

TEST_P(TrustRatioTest, AGradientOfZeroIsFinite) {
  const at::Tensor values = Floats({0, 0, 3, 4});
  const auto optimizer = Make(Config("weight_decay: 0.1 always_adapt: true trust_clip: true"),
                              {{"a", 0, 2}, {"b", 2, 2}}, values, {});
  optimizer->Step(at::zeros({4}, TestDevice()), 0.1, 1, 0);
  for (const float value : Values(values)) EXPECT_TRUE(std::isfinite(value));
}

INSTANTIATE_TEST_SUITE_P(Kinds, TrustRatioTest, testing::Values("lars", "lamb"),
                         [](const auto& test) { return test.param; });

std::vector<Problem> ErrorsOf(const std::string& text) {
  return finetune::ErrorsOf(CheckOptimizer, "optimizer", text);
}

TEST(LarsTest, CheckReportsEveryFieldThatIsWrong) {
  EXPECT_THAT(ErrorsOf("lars { lr: 4.8 momentum: 0.9 weight_decay: 1e-6 nesterov: true }"),
              IsEmpty());
  EXPECT_THAT(
      ErrorsOf("lars { momentum: 1 weight_decay: -1 trust_coefficient: 0 epsilon: -1 }"),
      ElementsAre(Problem{"optimizer.lars.lr", "is not set"},
                  Problem{"optimizer.lars.momentum", "is 1; expected at least 0 and less than 1"},
                  Problem{"optimizer.lars.weight_decay", "is -1; expected 0 or more"},
                  Problem{"optimizer.lars.trust_coefficient", "is 0; expected more than 0"},
                  Problem{"optimizer.lars.epsilon", "is -1; expected 0 or more"}));
  EXPECT_THAT(ErrorsOf("lars { lr: 1 nesterov: true }"),
              ElementsAre(Problem{"optimizer.lars.nesterov", "needs momentum, which is 0"}));
}

TEST(LambTest, CheckReportsEveryFieldThatIsWrong) {
  EXPECT_THAT(ErrorsOf("lamb { lr: 0.005 weight_decay: 0.02 }"), IsEmpty());
  EXPECT_THAT(
      ErrorsOf("lamb { beta1: 1 beta2: -0.5 epsilon: 0 weight_decay: -1 }"),
      ElementsAre(Problem{"optimizer.lamb.lr", "is not set"},
                  Problem{"optimizer.lamb.beta1", "is 1; expected at least 0 and less than 1"},
                  Problem{"optimizer.lamb.beta2", "is -0.5; expected at least 0 and less than 1"},
                  Problem{"optimizer.lamb.epsilon", "is 0; expected 1e-37 or more"},
                  Problem{"optimizer.lamb.weight_decay", "is -1; expected 0 or more"}));
}

}  // namespace
}  // namespace finetune
