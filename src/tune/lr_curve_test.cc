#include "src/tune/lr_curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace finetune {
namespace {

using ::testing::HasSubstr;

// Adds loss(log10 of the rate) until the test ends.
template <typename Loss>
LrCurve Curve(const LrTestOptions& options, const Loss& loss) {
  LrCurve curve(options);
  while (curve.Add(loss(std::log10(curve.NextRate())))) {
  }
  return curve;
}

TEST(LrCurve, RaisesTheRateByTheSameFactorEachIteration) {
  const LrTestOptions options{.min = 1e-4, .max = 1, .iterations = 5};
  for (int i = 0; i < 5; ++i) {
    EXPECT_NEAR(TestLearningRate(options, i), std::pow(10.0, i - 4), 1e-12) << i;
  }
}

// The expected numbers are those of Lightning's callback: its average is 0.98 * average + 0.02 *
// loss, divided by 1 - 0.98^(number of losses).
TEST(LrCurve, SmoothsAsLightningDoes) {
  LrCurve curve(LrTestOptions{.smoothing = 0.98});
  for (const double loss : {2.0, 1.0, 4.0}) curve.Add(loss);
  ASSERT_EQ(curve.points().size(), 3u);
  EXPECT_DOUBLE_EQ(curve.points()[0].smoothed, 2);
  EXPECT_NEAR(curve.points()[1].smoothed, (0.98 * 0.02 * 2 + 0.02) / (1 - 0.98 * 0.98), 1e-12);
  EXPECT_NEAR(curve.points()[2].smoothed,
              (0.98 * 0.98 * 0.02 * 2 + 0.98 * 0.02 + 0.02 * 4) / (1 - std::pow(0.98, 3)), 1e-12);
}

TEST(LrCurve, WithoutSmoothingKeepsTheLosses) {
  LrCurve curve(LrTestOptions{.smoothing = 0});
  curve.Add(3);
  curve.Add(1);
  EXPECT_DOUBLE_EQ(curve.points()[1].smoothed, 1);
}

TEST(LrCurve, EndsWhenTheSmoothedLossExceedsAMultipleOfItsBest) {
  LrCurve curve(LrTestOptions{.stop_factor = 2, .smoothing = 0});
  EXPECT_TRUE(curve.Add(3));
  EXPECT_TRUE(curve.Add(1));
  EXPECT_TRUE(curve.Add(2));
  EXPECT_FALSE(curve.Add(2.01));
  EXPECT_EQ(curve.end(), LrTestEnd::kLossRose);
  EXPECT_EQ(curve.points().size(), 4u);
}

TEST(LrCurve, EndsWithoutAnErrorAtALossThatIsNotFinite) {
  for (const double loss : {HUGE_VAL, -HUGE_VAL, std::numeric_limits<double>::quiet_NaN()}) {
    LrCurve curve(LrTestOptions{.min = 1, .max = 100, .iterations = 3});
    EXPECT_TRUE(curve.Add(2));
    EXPECT_FALSE(curve.Add(loss));
    EXPECT_EQ(curve.end(), LrTestEnd::kNotFinite);
    EXPECT_EQ(curve.points().size(), 1u);
    EXPECT_NEAR(curve.last_rate(), 10, 1e-9);
  }
}

TEST(LrCurve, EndsAtTheHighestRate) {
  const LrCurve curve = Curve({.min = 1e-3, .max = 1, .iterations = 7}, [](double) { return 2.0; });
  EXPECT_EQ(curve.end(), LrTestEnd::kHighestRate);
  ASSERT_EQ(curve.points().size(), 7u);
  EXPECT_NEAR(curve.points().back().lr, 1, 1e-12);
}

// A loss that falls from 3 to 1 around 10^-3 and rises after 10^-1.
double KnownLoss(double log_lr) {
  return 2 - std::tanh(3 * (log_lr + 3)) + std::pow(10, 4 * (log_lr + 0.5));
}

TEST(LrCurve, SuggestsTheSteepestSlopeAndTheLowestPointOfAKnownCurve) {
  const LrCurve curve =
      Curve({.min = 1e-7, .max = 10, .iterations = 161, .smoothing = 0}, KnownLoss);
  EXPECT_EQ(curve.end(), LrTestEnd::kLossRose);
  const absl::StatusOr<LrSuggestion> suggestion = SuggestLearningRate(curve);
  ASSERT_TRUE(suggestion.ok()) << suggestion.status();
  EXPECT_NEAR(std::log10(curve.points()[suggestion->steepest].lr), -3, 0.03);
  // The slopes of the fall and of the rise cancel where 12 exp(-6 (x + 3)) = 4 ln(10) 10^(4 x + 2).
  EXPECT_NEAR(std::log10(curve.points()[suggestion->lowest].lr), -1.47, 0.05);
}

// Of equidistant points numpy.gradient gives half the difference of the neighbours, and at both
// ends the difference to the one neighbour.
TEST(LrCurve, TakesTheSlopeThatNumpysGradientGives) {
  LrCurve curve(LrTestOptions{.iterations = 9, .smoothing = 0});
  for (const double loss : {5.0, 4.9, 4.5, 3.0, 2.9, 2.0, 2.5, 2.4, 0.0}) curve.Add(loss);
  // numpy.gradient of all losses but the last has its lowest value, -0.95, at index 2: -0.1,
  // -0.25, -0.95, -0.8, -0.5, -0.2, 0.2, -0.1.
  const absl::StatusOr<LrSuggestion> suggestion = SuggestLearningRate(curve);
  ASSERT_TRUE(suggestion.ok()) << suggestion.status();
  EXPECT_EQ(suggestion->steepest, 2u);
  EXPECT_EQ(suggestion->lowest, 5u);
}

TEST(LrCurve, LeavesOutTheFirstTenthAndTheLastPoint) {
  LrCurve curve(LrTestOptions{.iterations = 20, .stop_factor = 100, .smoothing = 0});
  for (int i = 0; i < 20; ++i) curve.Add(i == 0 ? 20 : i < 19 ? 5 - 0.1 * i : 0.1);
  const absl::StatusOr<LrSuggestion> suggestion = SuggestLearningRate(curve);
  ASSERT_TRUE(suggestion.ok()) << suggestion.status();
  EXPECT_GE(suggestion->steepest, 2u);
  EXPECT_EQ(suggestion->lowest, 18u);
}

// The losses of a network that learns nothing in the test: noise, then a peak.
TEST(LrCurve, SuggestsNothingForTheFallAfterAPeak) {
  LrCurve curve(LrTestOptions{.iterations = 20, .smoothing = 0});
  for (int i = 0; i < 20; ++i) curve.Add(i == 15 ? 4.6 : i > 15 ? 2.55 : 2.31 + 0.005 * (i % 3));
  EXPECT_THAT(
      SuggestLearningRate(curve).status().message(),
      HasSubstr("the smoothed loss falls from 2.32 to 2.31; expected a fall of 1 % or more"));
}

TEST(LrCurve, TakesNoSlopeAfterTheLowestPoint) {
  LrCurve curve(LrTestOptions{.iterations = 10, .smoothing = 0});
  for (const double loss : {3.0, 3.0, 2.9, 2.5, 2.0, 6.0, 3.0, 3.1, 3.1, 3.1}) curve.Add(loss);
  const absl::StatusOr<LrSuggestion> suggestion = SuggestLearningRate(curve);
  ASSERT_TRUE(suggestion.ok()) << suggestion.status();
  EXPECT_EQ(suggestion->steepest, 3u);
  EXPECT_EQ(suggestion->lowest, 4u);
}

TEST(LrCurve, SuggestsNothingWhereTheLossNeverFallsOrDivergesAtOnce) {
  const LrCurve rising = Curve({.iterations = 50}, [](double log_lr) { return 10 + log_lr; });
  const absl::Status never = SuggestLearningRate(rising).status();
  EXPECT_EQ(never.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(never.message(), HasSubstr("expected a fall of 1 % or more"));

  const LrCurve diverging =
      Curve({.min = 1, .max = 100}, [](double log_lr) { return log_lr > 0.1 ? HUGE_VAL : 2; });
  const absl::Status few = SuggestLearningRate(diverging).status();
  EXPECT_EQ(few.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(few.message(), HasSubstr("expected 13 or more. Begin with a smaller --min than 1"));
}

}  // namespace
}  // namespace finetune
