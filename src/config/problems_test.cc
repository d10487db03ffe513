#include "src/config/problems.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ProblemsTest, FieldsHaveTheirWholePath) {
  ProblemList found;
  const Problems problems(&found);
  problems.Error("name", "is empty");
  const Problems step = problems.Within("data.train").Within("pipeline", 2);
  step.Error("", "is empty");
  step.Within("resize").Error("size", "is 0");
  EXPECT_THAT(found.errors, ElementsAre(Problem{"name", "is empty"},
                                        Problem{"data.train.pipeline[2]", "is empty"},
                                        Problem{"data.train.pipeline[2].resize.size", "is 0"}));
  EXPECT_EQ(found.status().message(),
            "name: is empty\n"
            "data.train.pipeline[2]: is empty\n"
            "data.train.pipeline[2].resize.size: is 0");
}

TEST(ProblemsTest, WarningsAreNotErrors) {
  ProblemList found;
  Problems(&found, "schedule").Warn("warmup", "is long");
  EXPECT_TRUE(found.status().ok());
  EXPECT_THAT(found.warnings, ElementsAre(Problem{"schedule.warmup", "is long"}));
}

TEST(ProblemsTest, SaysTheSameOnce) {
  ProblemList found;
  const Problems problems(&found);
  problems.Error("a", "is 1");
  problems.Error("a", "is 1");
  problems.Error("a", "is 2");
  problems.Error("b", "is 1");
  EXPECT_EQ(found.errors.size(), 3u);
}

TEST(ProblemsTest, AcceptsValuesWithinTheirBounds) {
  ProblemList found;
  const Problems problems(&found);
  EXPECT_TRUE(problems.InRange("a", 0, 0, 1));
  EXPECT_TRUE(problems.InRange("a", 1, 0, 1));
  EXPECT_TRUE(problems.AtLeast("a", 3, 3));
  EXPECT_TRUE(problems.Positive("a", 1e-30));
  EXPECT_TRUE(problems.Finite("a", -1e300));
  EXPECT_TRUE(problems.IsFraction("a", 0));
  EXPECT_TRUE(problems.IsFactor("a", 1));
  EXPECT_TRUE(problems.IsFactor("a", 1e-30));
  EXPECT_TRUE(problems.NotBelow("a", 2, "b", 2));
  EXPECT_THAT(found.errors, IsEmpty());
}

TEST(ProblemsTest, RefusesOtherValuesAndSaysWhatIsExpected) {
  ProblemList found;
  const Problems problems(&found);
  EXPECT_FALSE(problems.InRange("a", 16777217, 0, 16777216));
  EXPECT_FALSE(problems.InRange("b", kNan, 0, 0.5));
  EXPECT_FALSE(problems.AtLeast("c", -1, 0));
  EXPECT_FALSE(problems.AtLeast("d", kInfinity, 0));
  EXPECT_FALSE(problems.Positive("e", 0));
  EXPECT_FALSE(problems.Positive("f", kNan));
  EXPECT_FALSE(problems.Finite("g", -kInfinity));
  EXPECT_FALSE(problems.IsFraction("h", 1));
  EXPECT_FALSE(problems.IsFraction("i", kNan));
  EXPECT_FALSE(problems.IsFactor("j", 0));
  EXPECT_FALSE(problems.IsFactor("k", 1.0000001));
  EXPECT_FALSE(problems.NotBelow("l", 0.1f, "min_area", 0.5));
  EXPECT_FALSE(problems.NotBelow("m", kNan, "min_area", 0.5));
  EXPECT_EQ(found.status().message(),
            "a: is 16777217; expected 0 to 16777216\n"
            "b: is nan; expected 0 to 0.5\n"
            "c: is -1; expected 0 or more\n"
            "d: is inf; expected a finite number\n"
            "e: is 0; expected more than 0\n"
            "f: is nan; expected a finite number\n"
            "g: is -inf; expected a finite number\n"
            "h: is 1; expected at least 0 and less than 1\n"
            "i: is nan; expected at least 0 and less than 1\n"
            "j: is 0; expected more than 0 and at most 1\n"
            "k: is 1.0000001; expected more than 0 and at most 1\n"
            "l: is 0.1; expected at least min_area, which is 0.5\n"
            "m: is nan; expected at least min_area, which is 0.5");
}

// An error that compares two fields may follow from a mistake in the other one.
TEST(ProblemsTest, KnowsWhichErrorsFollowFromTheValueAlone) {
  ProblemList found;
  const Problems problems(&found);
  problems.InRange("a", 2, 0, 1);
  problems.WrongValue("b", "is 51");
  problems.NotBelow("c", 1, "d", 2);
  problems.Error("e", "is not set");
  EXPECT_EQ(found.errors.size(), 4u);
  EXPECT_THAT(found.wrong_values,
              ElementsAre(Problem{"a", "is 2; expected 0 to 1"}, Problem{"b", "is 51"}));
}

}  // namespace
}  // namespace finetune
