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
  EXPECT_EQ(found.status().message(),
            "a: is 16777217; expected 0 to 16777216\n"
            "b: is nan; expected 0 to 0.5\n"
            "c: is -1; expected 0 or more\n"
            "d: is inf; expected a finite number\n"
            "e: is 0; expected more than 0\n"
            "f: is nan; expected a finite number\n"
            "g: is -inf; expected a finite number\n"
            "h: is 1; expected at least 0 and less than 1\n"
            "i: is nan; expected at least 0 and less than 1");
}

}  // namespace
}  // namespace finetune
