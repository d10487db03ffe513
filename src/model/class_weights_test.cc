#include "src/model/class_weights.h"

#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/config/problems.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::IsEmpty;

HeadConfig WithWeights(const std::vector<float>& weights) {
  HeadConfig config;
  for (const float weight : weights) config.mutable_class_weights()->add_weight(weight);
  return config;
}

HeadConfig Balanced() {
  HeadConfig config;
  config.mutable_class_weights()->set_rule(ClassWeightsConfig::BALANCED);
  return config;
}

std::string ErrorsOf(const HeadConfig& config, int classes) {
  ProblemList found;
  CheckClassWeights(config.class_weights(), classes, Problems(&found, "class_weights"));
  return std::string(found.status().message());
}

TEST(ClassWeights, AreThoseOfTheConfig) {
  EXPECT_THAT(ClassWeights(WithWeights({1, 0, 2.5}), {5, 5, 5}), ElementsAre(1, 0, 2.5));
  EXPECT_THAT(ClassWeights(HeadConfig(), {5, 5, 5}), IsEmpty());
}

// The expected weights are those of scikit-learn's compute_class_weight("balanced").
TEST(ClassWeights, BalancedGivesEachClassTheSamePart) {
  const std::vector<float> weights = ClassWeights(Balanced(), {60, 30, 10});
  EXPECT_THAT(weights, ElementsAre(FloatEq(100 / (3 * 60.0f)), FloatEq(100 / (3 * 30.0f)),
                                   FloatEq(100 / (3 * 10.0f))));
  EXPECT_FLOAT_EQ((60 * weights[0] + 30 * weights[1] + 10 * weights[2]) / 100, 1);
}

TEST(ClassWeights, BalancedLeavesOutAClassWithoutImages) {
  EXPECT_THAT(ClassWeights(Balanced(), {6, 0, 2}),
              ElementsAre(FloatEq(8 / 12.0f), 0, FloatEq(8 / 4.0f)));
}

TEST(CheckClassWeights, TakesARuleOrOneWeightForEachClass) {
  EXPECT_EQ(ErrorsOf(Balanced(), 3), "");
  EXPECT_EQ(ErrorsOf(WithWeights({1, 0, 2.5}), 3), "");
}

TEST(CheckClassWeights, RefusesWhatNoLossCanHave) {
  EXPECT_EQ(ErrorsOf(WithWeights({1, 2}), 3),
            "class_weights.weight: has 2 values; expected 3, one for each of num_classes");
  EXPECT_EQ(ErrorsOf(WithWeights({0, 0}), 2),
            "class_weights.weight: is 0 for every class, so nothing would be learned");
  EXPECT_THAT(ErrorsOf(WithWeights({1, -1}), 2), testing::HasSubstr("class_weights.weight[1]"));
  EXPECT_THAT(ErrorsOf(WithWeights({1, std::numeric_limits<float>::quiet_NaN()}), 2),
              testing::HasSubstr("class_weights.weight[1]"));
  HeadConfig both = WithWeights({1, 1});
  both.mutable_class_weights()->set_rule(ClassWeightsConfig::BALANCED);
  EXPECT_EQ(ErrorsOf(both, 2), "class_weights: has a rule as well as weight; expected one of both");
}

}  // namespace
}  // namespace finetune
