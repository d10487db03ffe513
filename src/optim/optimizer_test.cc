#include "src/optim/optimizer.h"

#include <ATen/ops/zeros.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/config/field_error.h"
#include "src/testing/errors_of.h"
#include "src/testing/from_text.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::FieldsAre;
using ::testing::IsEmpty;

std::vector<Problem> ErrorsOf(const std::string& text) {
  return finetune::ErrorsOf(CheckOptimizer, "optimizer", text);
}

TEST(OptimizerTest, AcceptsCompleteConfigs) {
  EXPECT_THAT(ErrorsOf("sgd { lr: 0.1 momentum: 0.9 weight_decay: 1e-4 nesterov: true } "
                       "rule { match: 'bias' lr_multiplier: 2 } clip_gradient { max_norm: 1 }"),
              IsEmpty());
}

TEST(OptimizerTest, ReportsEveryFieldThatIsWrong) {
  EXPECT_THAT(ErrorsOf(""),
              ElementsAre(FieldsAre(
                  "optimizer", "has no kind; set sgd, adamw, lars, lamb or rmsprop { lr: ... }")));
  EXPECT_THAT(
      ErrorsOf("sgd { momentum: -1 weight_decay: inf } clip_gradient { max_norm: 0 }"),
      ElementsAre(Problem{"optimizer.sgd.lr", "is not set"},
                  Problem{"optimizer.sgd.momentum", "is -1; expected at least 0 and less than 1"},
                  Problem{"optimizer.sgd.weight_decay", "is inf; expected a finite number"},
                  Problem{"optimizer.clip_gradient.max_norm", "is 0; expected more than 0"}));
  EXPECT_THAT(ErrorsOf("sgd { lr: 1 nesterov: true }"),
              ElementsAre(Problem{"optimizer.sgd.nesterov", "needs momentum, which is 0"}));
}

TEST(OptimizerTest, FindsLearningRateOfItsKind) {
  EXPECT_EQ(FindLearningRate(FromText<OptimizerConfig>("sgd { lr: 0 }")).value, 0);
  EXPECT_EQ(FindLearningRate(FromText<OptimizerConfig>("sgd {}")).value, std::nullopt);
  EXPECT_EQ(FindLearningRate(FromText<OptimizerConfig>("sgd {}")).field, "optimizer.sgd.lr");
  EXPECT_EQ(FindLearningRate(FromText<OptimizerConfig>("adamw { lr: 0.001 }")).value, 0.001);
  EXPECT_EQ(FindLearningRate(FromText<OptimizerConfig>("adamw {}")).field, "optimizer.adamw.lr");
  EXPECT_EQ(FindLearningRate(FromText<OptimizerConfig>("")).value, std::nullopt);
}

TEST(OptimizerTest, HasSpansInTheirOrderInMemory) {
  const auto optimizer = CreateOptimizer(FromText<OptimizerConfig>("sgd {}"),
                                         {{"b", 3, 1}, {"a", 0, 2}}, at::zeros({4}));
  ASSERT_TRUE(optimizer.ok()) << optimizer.status();
  EXPECT_EQ((*optimizer)->kind(), "sgd");
  EXPECT_THAT((*optimizer)->spans(), ElementsAre(FieldsAre("a", 0, 2), FieldsAre("b", 3, 1)));
}

TEST(OptimizerTest, RefusesRuleThatHoldsForNoParameter) {
  const auto optimizer = CreateOptimizer(FromText<OptimizerConfig>("sgd {} rule { match: 'nope' }"),
                                         {{"a", 0, 1}}, at::zeros({1}));
  EXPECT_EQ(FieldOf(optimizer.status()), "optimizer.rule[0].match");
}

}  // namespace
}  // namespace finetune
