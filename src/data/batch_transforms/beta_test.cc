#include "src/data/batch_transforms/beta.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numbers>
#include <vector>

#include "gtest/gtest.h"

namespace finetune {
namespace {

std::vector<double> Draws(double alpha, int count) {
  std::vector<double> draws;
  for (int i = 0; i < count; ++i) {
    RandomStream random(/*seed=*/5, RandomPurpose::kBatchTransform, 0, static_cast<uint64_t>(i));
    draws.push_back(DrawSymmetricBeta(alpha, &random));
  }
  return draws;
}

// Returns the Kolmogorov-Smirnov statistic: the largest distance between the distribution of
// `draws` and `cdf`.
double Distance(std::vector<double> draws, const std::function<double(double)>& cdf) {
  std::sort(draws.begin(), draws.end());
  double distance = 0;
  const auto n = static_cast<double>(draws.size());
  for (size_t i = 0; i < draws.size(); ++i) {
    const double expected = cdf(draws[i]);
    distance = std::max({distance, std::abs(static_cast<double>(i) / n - expected),
                         std::abs(static_cast<double>(i + 1) / n - expected)});
  }
  return distance;
}

TEST(SymmetricBetaTest, HasTheDistributionOfBeta) {
  constexpr int kDraws = 20000;
  // With correct draws the statistic exceeds 1.95 / sqrt(n) for one seed in a thousand.
  const double bound = 1.95 / std::sqrt(static_cast<double>(kDraws));
  EXPECT_LT(Distance(Draws(1, kDraws), [](double x) { return x; }), bound);
  // Beta(0.5, 0.5) is the arcsine distribution.
  EXPECT_LT(Distance(Draws(0.5, kDraws),
                     [](double x) { return std::asin(std::sqrt(x)) * 2 / std::numbers::pi; }),
            bound);
  EXPECT_LT(Distance(Draws(2, kDraws), [](double x) { return x * x * (3 - 2 * x); }), bound);
}

TEST(SymmetricBetaTest, SmallAlphaGivesNumbersNearZeroAndOne) {
  for (const double alpha : {1e-4, 1e-30, 1e-45}) {
    int low = 0;
    for (const double draw : Draws(alpha, 1000)) {
      ASSERT_TRUE(draw >= 0 && draw <= 1) << draw << " with " << alpha;
      ASSERT_TRUE(draw < 1e-3 || draw > 1 - 1e-3 || alpha == 1e-4) << draw << " with " << alpha;
      low += draw < 0.5 ? 1 : 0;
    }
    // The tolerance is five standard deviations; one is 15.8.
    EXPECT_NEAR(low, 500, 79) << alpha;
  }
}

TEST(SymmetricBetaTest, LargeAlphaGivesNumbersNearOneHalf) {
  for (const double draw : Draws(1e12, 100)) EXPECT_NEAR(draw, 0.5, 1e-5);
  for (const double draw : Draws(3e38, 100)) EXPECT_NEAR(draw, 0.5, 1e-5);
}

}  // namespace
}  // namespace finetune
