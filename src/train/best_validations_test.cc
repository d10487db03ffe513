#include "src/train/best_validations.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;

std::vector<int64_t> Iterations(const std::vector<BestValidation>& best) {
  std::vector<int64_t> iterations;
  for (const BestValidation& one : best) iterations.push_back(one.iteration);
  return iterations;
}

TEST(BestValidations, AreSortedAndNoMoreThanAsked) {
  std::vector<BestValidation> best;
  EXPECT_TRUE(AddToBest({0.5, 10}, true, 2, &best));
  EXPECT_TRUE(AddToBest({0.7, 20}, true, 2, &best));
  EXPECT_TRUE(AddToBest({0.6, 30}, true, 2, &best));
  EXPECT_FALSE(AddToBest({0.55, 40}, true, 2, &best));
  EXPECT_THAT(best, ElementsAre(BestValidation{0.7, 20}, BestValidation{0.6, 30}));
}

TEST(BestValidations, TheLeastLossIsTheBest) {
  std::vector<BestValidation> best;
  for (const BestValidation& one :
       {BestValidation{2, 10}, BestValidation{1, 20}, BestValidation{3, 30}}) {
    AddToBest(one, false, 2, &best);
  }
  EXPECT_THAT(Iterations(best), ElementsAre(20, 10));
}

TEST(BestValidations, OfEqualValuesTheEarlierIsBetter) {
  std::vector<BestValidation> best;
  EXPECT_TRUE(AddToBest({0.5, 10}, true, 1, &best));
  EXPECT_FALSE(AddToBest({0.5, 20}, true, 1, &best));
  EXPECT_THAT(Iterations(best), ElementsAre(10));
  EXPECT_TRUE(AddToBest({0.5, 20}, true, 2, &best));
  EXPECT_THAT(Iterations(best), ElementsAre(10, 20));
}

}  // namespace
}  // namespace finetune
