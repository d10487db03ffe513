#include "src/optim/weight_average.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/testing/errors_of.h"
#include "src/testing/from_text.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<float> Floats(const at::Tensor& tensor) {
  const at::Tensor host = tensor.to(at::kCPU).contiguous();
  const float* values = host.const_data_ptr<float>();
  return {values, values + host.numel()};
}

at::Tensor OnDevice(const std::vector<float>& values) {
  return at::tensor(values).to(TestDevice());
}

// The fixture holds averages computed by timm's ModelEmaV3.
TEST(WeightAverage, IsTimms) {
  std::ifstream file("tests/fixtures/optim/ema.json");
  ASSERT_TRUE(file.good());
  for (const auto& one : nlohmann::json::parse(file)["cases"]) {
    EmaConfig config;
    config.set_decay(one["decay"]);
    if (one["use_warmup"]) {
      config.mutable_warmup()->set_gamma(one["warmup_gamma"]);
      config.mutable_warmup()->set_power(one["warmup_power"]);
    }
    at::Tensor weights = OnDevice(one["start"].get<std::vector<float>>());
    WeightAverage average(config, {weights});
    int64_t iteration = 0;
    for (const auto& step : one["steps"]) {
      weights.copy_(OnDevice(step["weights"].get<std::vector<float>>()));
      average.Update(iteration++);
      const auto expected = step["average"].get<std::vector<float>>();
      const std::vector<float> found = Floats(average.averages()[0]);
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_NEAR(found[i], expected[i], 1e-6) << config.DebugString() << iteration;
      }
    }
  }
}

// The fixture holds averages computed by torch.optim.swa_utils.AveragedModel.
TEST(WeightAverage, OfEpochsIsPyTorchsAveragedModel) {
  std::ifstream file("tests/fixtures/optim/swa.json");
  ASSERT_TRUE(file.good());
  const nlohmann::json fixture = nlohmann::json::parse(file);
  at::Tensor weights = at::full({5}, 7.0f, TestDevice());
  // Epochs 2, 4, 6, ... of three iterations each.
  WeightAverage average(FromText<SwaConfig>("first_epoch: 2 interval_epochs: 2"),
                        /*iterations_per_epoch=*/3, {weights});
  int64_t iteration = 0;
  for (const auto& step : fixture["steps"]) {
    const std::vector<float> before = Floats(average.averages()[0]);
    for (int i = 0; i < 5; ++i) {
      weights.fill_(100.0f + static_cast<float>(i));
      average.Update(iteration++);
      EXPECT_EQ(Floats(average.averages()[0]), before) << "inside the period, " << iteration;
    }
    weights.copy_(OnDevice(step["weights"].get<std::vector<float>>()));
    average.Update(iteration++);
    const auto expected = step["average"].get<std::vector<float>>();
    const std::vector<float> found = Floats(average.averages()[0]);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i], expected[i], 1e-6) << "iteration " << iteration;
    }
  }
  EXPECT_EQ(iteration, 36);
}

TEST(WeightAverage, OfEpochsBeginsAtTheEndOfItsFirstEpoch) {
  const WeightAverage average(FromText<SwaConfig>("first_epoch: 3"), 10, {});
  EXPECT_FALSE(average.HasBegun(0));
  EXPECT_FALSE(average.HasBegun(29));
  EXPECT_TRUE(average.HasBegun(30));
  EXPECT_TRUE(WeightAverage(FromText<EmaConfig>(""), {}).HasBegun(0));
}

TEST(WeightAverage, CheckOfEpochsReportsEveryFieldThatIsWrong) {
  const auto errors = [](const std::string& text) {
    return ErrorsOf(WeightAverage::CheckSwa, "optimizer.swa", text);
  };
  EXPECT_THAT(errors("first_epoch: 1"), IsEmpty());
  EXPECT_THAT(
      errors("interval_epochs: 0 statistics_iterations: 0"),
      ElementsAre(Problem{"optimizer.swa.first_epoch",
                          "is not set; it is the first epoch whose weights are averaged"},
                  Problem{"optimizer.swa.interval_epochs", "is 0; expected 1 or more"},
                  Problem{"optimizer.swa.statistics_iterations", "is 0; expected 1 or more"}));
}

TEST(WeightAverage, StartsAtTheWeightsAfterTheFirstIteration) {
  at::Tensor weights = OnDevice({1, 2});
  WeightAverage average(FromText<EmaConfig>("decay: 0.9"), {weights});
  weights.copy_(OnDevice({0.1f, 0.3f}));
  average.Update(0);
  EXPECT_THAT(Floats(average.averages()[0]), ElementsAre(0.1f, 0.3f));
}

TEST(WeightAverage, ResetTakesTheWeights) {
  at::Tensor weights = OnDevice({1});
  WeightAverage average(FromText<EmaConfig>("decay: 0.9"), {weights});
  weights.fill_(5);
  average.Reset();
  EXPECT_THAT(Floats(average.averages()[0]), ElementsAre(5));
}

TEST(WeightAverage, SwapsAndSwapsBackEveryBit) {
  // More elements than one thread takes at a time, so that several threads swap.
  at::Tensor weights = at::arange(40000, at::kFloat).to(TestDevice());
  at::Tensor statistics = OnDevice({0.1f});
  WeightAverage average(FromText<EmaConfig>("decay: 0.9"), {weights, statistics});
  weights.mul_(1.1);
  statistics.mul_(1.1);
  average.Update(1);
  const std::vector<float> raw = Floats(weights), mean = Floats(average.averages()[0]);
  const std::vector<float> raw_statistics = Floats(statistics);
  {
    const AveragesInPlace in_place(&average);
    EXPECT_EQ(Floats(weights), mean);
    EXPECT_EQ(Floats(average.averages()[0]), raw);
    EXPECT_NE(Floats(statistics), raw_statistics);
  }
  EXPECT_EQ(Floats(weights), raw);
  EXPECT_EQ(Floats(average.averages()[0]), mean);
  EXPECT_EQ(Floats(statistics), raw_statistics);
}

TEST(WeightAverage, GivesTheSamePartsOfTheAverage) {
  at::Tensor weights = at::arange(6, at::kFloat).to(TestDevice());
  WeightAverage average(FromText<EmaConfig>("decay: 0.9"), {weights});
  weights.fill_(0);
  // "one" is contiguous. "two" is not, like the weight of a channels-last convolution.
  const at::Tensor one = weights.narrow(0, 0, 2), two = weights.as_strided({2, 2}, {1, 2}, 2);
  const at::Tensor other = OnDevice({7});
  const TensorList averaged = average.Of({{"one", one}, {"two", two}, {"other", other}});
  EXPECT_EQ(averaged[0].name, "one");
  EXPECT_THAT(Floats(averaged[0].tensor), ElementsAre(0, 1));
  EXPECT_THAT(Floats(averaged[1].tensor), ElementsAre(2, 4, 3, 5));
  EXPECT_TRUE(averaged[2].tensor.is_same(other));
}

TEST(WeightAverage, CheckReportsEveryFieldThatIsWrong) {
  const auto errors = [](const std::string& text) {
    return ErrorsOf(WeightAverage::Check, "optimizer.ema", text);
  };
  EXPECT_THAT(errors("decay: 0.999 warmup {}"), IsEmpty());
  EXPECT_THAT(
      errors("decay: 1 warmup { power: 0 gamma: -1 }"),
      ElementsAre(Problem{"optimizer.ema.decay", "is 1; expected at least 0 and less than 1"},
                  Problem{"optimizer.ema.warmup.power", "is 0; expected more than 0"},
                  Problem{"optimizer.ema.warmup.gamma", "is -1; expected more than 0"}));
}

}  // namespace
}  // namespace finetune
