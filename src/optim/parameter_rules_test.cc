#include "src/optim/parameter_rules.h"

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
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<Problem> ErrorsOf(const std::string& text) {
  return finetune::ErrorsOf(CheckParameterRules, "optimizer", text);
}

const std::vector<ParameterSpan> kSpans = {
    {"stem.conv.weight", 0, 10}, {"stem.bn.weight", 10, 2}, {"stem.bn.bias", 12, 2},
    {"head.fc.weight", 16, 8},   {"head.fc.bias", 24, 2},
};

TEST(ParameterRulesTest, WithoutRulesNeighboursAreOneGroup) {
  const auto groups = GroupParameters(FromText<OptimizerConfig>(""), kSpans);
  ASSERT_TRUE(groups.ok()) << groups.status();
  // Elements 14 and 15 belong to no parameter.
  EXPECT_THAT(*groups, ElementsAre(FieldsAre(0, 14, 1, 1), FieldsAre(16, 26, 1, 1)));
}

TEST(ParameterRulesTest, FirstRuleThatMatchesHolds) {
  const auto groups =
      GroupParameters(FromText<OptimizerConfig>(
                          "rule { match: '\\\\.bn\\\\.|\\\\.bias$' weight_decay_multiplier: 0 } "
                          "rule { match: '^head' lr_multiplier: 10 }"),
                      kSpans);
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_THAT(*groups, ElementsAre(FieldsAre(0, 10, 1, 1), FieldsAre(10, 14, 1, 0),
                                   FieldsAre(16, 24, 10, 1), FieldsAre(24, 26, 1, 0)));
}

// Parameters of a network with a stem, two stages and a head.
const TraitsByName kTraits = {{"stem.conv.weight", {3, false}},
                              {"stem.bn.weight", {3, true}},
                              {"stem.bn.bias", {3, true}},
                              {"head.fc.weight", {0, false}},
                              {"head.fc.bias", {0, true}}};

TEST(ParameterRulesTest, LayerDecayMultipliesOnceForEachPartBehind) {
  const auto groups =
      GroupParameters(FromText<OptimizerConfig>("layer_decay: 0.5"), kSpans, kTraits);
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_THAT(*groups, ElementsAre(FieldsAre(0, 14, 0.125, 1), FieldsAre(16, 26, 1, 1)));
}

TEST(ParameterRulesTest, NormsAndBiasesMayGoWithoutWeightDecay) {
  const auto groups =
      GroupParameters(FromText<OptimizerConfig>("decay_norm_and_bias: false"), kSpans, kTraits);
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_THAT(*groups, ElementsAre(FieldsAre(0, 10, 1, 1), FieldsAre(10, 14, 1, 0),
                                   FieldsAre(16, 24, 1, 1), FieldsAre(24, 26, 1, 0)));
}

TEST(ParameterRulesTest, RulesMultiplyLayerDecayAndOverrideTheSwitchThatTheySet) {
  const auto groups = GroupParameters(
      FromText<OptimizerConfig>("layer_decay: 0.5 decay_norm_and_bias: false "
                                "rule { match: 'bn\\\\.bias' weight_decay_multiplier: 3 } "
                                "rule { match: '^head' lr_multiplier: 10 } "
                                "rule { match: '^stem' lr_multiplier: 2 }"),
      kSpans, kTraits);
  ASSERT_TRUE(groups.ok()) << groups.status();
  EXPECT_THAT(*groups, ElementsAre(FieldsAre(0, 10, 0.25, 1), FieldsAre(10, 12, 0.25, 0),
                                   FieldsAre(12, 14, 0.125, 3), FieldsAre(16, 24, 10, 1),
                                   FieldsAre(24, 26, 10, 0)));
}

TEST(ParameterRulesTest, LayerDecayIsMoreThanZeroAndAtMostOne) {
  EXPECT_THAT(ErrorsOf("layer_decay: 1 decay_norm_and_bias: false"), IsEmpty());
  EXPECT_THAT(
      ErrorsOf("layer_decay: 0"),
      ElementsAre(Problem{"optimizer.layer_decay", "is 0; expected more than 0 and at most 1"}));
  EXPECT_THAT(
      ErrorsOf("layer_decay: 1.5"),
      ElementsAre(Problem{"optimizer.layer_decay", "is 1.5; expected more than 0 and at most 1"}));
}

TEST(ParameterRulesTest, RefusesRuleThatHoldsForNoParameter) {
  const auto groups =
      GroupParameters(FromText<OptimizerConfig>(
                          "rule { match: 'head' } rule { match: 'fc\\\\.bias' lr_multiplier: 2 }"),
                      kSpans);
  EXPECT_EQ(groups.status().message(),
            "optimizer.rule[1].match: is \"fc\\\\.bias\", which matches no trained parameter, or "
            "only those of an earlier rule; the parameters have names such as "
            "\"stem.conv.weight\"");
  EXPECT_EQ(FieldOf(groups.status()), "optimizer.rule[1].match");
}

TEST(ParameterRulesTest, AcceptsRe2SyntaxAlone) {
  EXPECT_THAT(ErrorsOf("rule { match: '^(backbone|neck)\\\\.[a-z0-9_.]*?\\\\bbn\\\\d+' }"),
              IsEmpty());
  // RE2 has no look-ahead, because that would need backtracking.
  EXPECT_THAT(ErrorsOf("rule { match: 'head(?!\\\\.fc)' }"),
              ElementsAre(FieldsAre("optimizer.rule[0].match", HasSubstr("RE2's syntax"))));
}

TEST(ParameterRulesTest, ReportsEveryFieldThatIsWrong) {
  EXPECT_THAT(
      ErrorsOf("rule {} rule { match: '(' lr_multiplier: -1 weight_decay_multiplier: nan }"),
      ElementsAre(
          Problem{"optimizer.rule[0].match", "is not set"},
          Problem{"optimizer.rule[1].match",
                  "is \"(\"; expected a regular expression in RE2's syntax, and found: missing ): "
                  "("},
          Problem{"optimizer.rule[1].lr_multiplier", "is -1; expected 0 or more"},
          Problem{"optimizer.rule[1].weight_decay_multiplier",
                  "is nan; expected a finite number"}));
}

}  // namespace
}  // namespace finetune
