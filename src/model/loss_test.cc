#include "src/model/loss.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

at::Tensor Labels(const std::vector<int64_t>& labels) {
  return at::tensor(labels).to(TestDevice());
}

at::Tensor Logits(const std::vector<float>& logits, at::IntArrayRef shape) {
  return at::tensor(logits).view(shape).to(TestDevice());
}

at::Tensor Zeros(at::IntArrayRef shape) { return at::zeros(shape, TestDevice()); }

TEST(CrossEntropySum, IsMinusTheLogOfTheLabelsProbabilitySummedOverImages) {
  const at::Tensor logits = Logits({0.f, 0.f, std::log(3.f), 0.f}, {2, 2});
  EXPECT_NEAR(CrossEntropySum(logits, Labels({1, 0}), 0).item<double>(),
              std::log(2.0) + std::log(4.0 / 3), 1e-6);
}

TEST(CrossEntropySum, SmoothingSpreadsItsShareOverAllClassesTheLabelsToo) {
  // The probabilities are 3/4 and 1/4; the targets are 0.9 and 0.1 after smoothing by 0.2.
  const at::Tensor logits = Logits({std::log(3.f), 0.f}, {1, 2});
  EXPECT_NEAR(CrossEntropySum(logits, Labels({0}), 0.2).item<double>(),
              -0.9 * std::log(0.75) - 0.1 * std::log(0.25), 1e-6);
}

TEST(CrossEntropySum, OfNoImagesIsZero) {
  EXPECT_EQ(CrossEntropySum(Zeros({0, 5}), Labels({}), 0.1).item<double>(), 0);
  EXPECT_EQ(CrossEntropySum(Zeros({0, 5}), Zeros({0, 5}), 0.1).item<double>(), 0);
}

// Compares the loss and its gradient with a fixture in float64, for both kinds of targets, with and
// without class weights.
TEST(CrossEntropySum, MatchesPyTorch) {
  std::ifstream file("tests/fixtures/model/cross_entropy.json");
  ASSERT_TRUE(file.good());
  const nlohmann::json fixture = nlohmann::json::parse(file);
  const auto matrix = [&](const nlohmann::json& values) {
    return at::tensor(values.get<std::vector<double>>())
        .view({fixture["pictures"].get<int64_t>(), fixture["classes"].get<int64_t>()})
        .to(TestDevice(), at::kFloat);
  };
  ASSERT_EQ(fixture["cases"].size(), 12u);
  for (const auto& expected : fixture["cases"]) {
    const std::string kind = expected["kind"];
    const double smoothing = expected["smoothing"];
    at::Tensor weights;
    if (expected["weighted"]) {
      weights = Logits(fixture["weights"].get<std::vector<float>>(), {fixture["classes"]});
    }
    at::Tensor logits = matrix(fixture["logits"]).requires_grad_();
    const at::Tensor targets = kind == "indices"
                                   ? Labels(fixture["indices"].get<std::vector<int64_t>>())
                                   : matrix(fixture["distributions"]);
    const at::Tensor loss = CrossEntropySum(logits, targets, smoothing, weights);
    loss.backward();
    const double exact = expected["loss"];
    EXPECT_NEAR(loss.item<double>(), exact, 1e-6 * exact) << kind << " " << smoothing;
    EXPECT_LT(logits.grad().sub(matrix(expected["gradient"])).abs().max().item<double>(), 1e-6)
        << kind << " " << smoothing;
  }
}

TEST(CrossEntropySum, AClassIsADistributionThatIsCertain) {
  const at::Tensor logits = Logits({.1f, .5f, .2f, .4f, .9f, .5f}, {2, 3});
  const at::Tensor certain = Logits({0.f, 0.f, 1.f, 1.f, 0.f, 0.f}, {2, 3});
  for (const double smoothing : {0.0, 0.2}) {
    EXPECT_NEAR(CrossEntropySum(logits, Labels({2, 0}), smoothing).item<double>(),
                CrossEntropySum(logits, certain, smoothing).item<double>(), 1e-6);
  }
}

TEST(TopKCorrect, CountsLabelsAmongTheLargest) {
  const at::Tensor logits =
      Logits({.1f, .5f, .2f, .4f, /**/ .9f, .5f, .2f, .4f, /**/ .1f, .2f, .3f, .4f}, {3, 4});
  EXPECT_THAT(TopKCorrect(logits, Labels({1, 1, 0}), {1, 2, 3, 4}), ElementsAre(1, 2, 2, 3));
}

TEST(TopKCorrect, OfEqualLogitsTheLowerClassComesFirst) {
  const at::Tensor logits = Zeros({4, 4});
  EXPECT_THAT(TopKCorrect(logits, Labels({0, 1, 2, 3}), {1, 2, 3}), ElementsAre(1, 2, 3));
}

TEST(TopKCorrect, ALogitThatIsNoNumberIsNeverRight) {
  const at::Tensor logits = Logits({kNan, 1.f, 2.f, /**/ kNan, 1.f, 2.f}, {2, 3});
  EXPECT_THAT(TopKCorrect(logits, Labels({0, 2}), {1, 2}), ElementsAre(0, 1));
}

TEST(TopKCorrect, MoreThanThereAreClassesIsAll) {
  EXPECT_THAT(TopKCorrect(Zeros({2, 3}), Labels({2, 1}), {5}), ElementsAre(2));
  EXPECT_THAT(TopKCorrect(Zeros({0, 3}), Labels({}), {1}), ElementsAre(0));
  EXPECT_THAT(TopKCorrect(Zeros({2, 3}), Labels({2, 1}), {}), IsEmpty());
}

}  // namespace
}  // namespace finetune
