#include "src/metrics/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "src/base/philox.h"

namespace finetune {
namespace {

constexpr double kLow = 0.025, kHigh = 0.975;

// Draws numbers from a binomial distribution by inverting its cumulative distribution.
class Binomial {
 public:
  // `probability`: more than 0 and less than 1.
  Binomial(int64_t n, double probability) {
    // Numbers further than 12 standard deviations from the mean are left out: their probability is
    // too small to change a float64 sum of 1.
    const double mean = static_cast<double>(n) * probability;
    const double reach = 12 * std::sqrt(mean * (1 - probability)) + 12;
    first_ = std::max<int64_t>(0, static_cast<int64_t>(mean - reach));
    const int64_t last = std::min(n, static_cast<int64_t>(mean + reach) + 1);
    // The logarithm of each number's probability, up to a constant. Below, the largest one is
    // subtracted before exp(), so that no value overflows.
    std::vector<double> logs = {0};
    const double odds = std::log(probability) - std::log1p(-probability);
    for (int64_t k = first_; k < last; ++k) {
      logs.push_back(logs.back() + odds +
                     std::log(static_cast<double>(n - k) / static_cast<double>(k + 1)));
    }
    const double largest = *std::max_element(logs.begin(), logs.end());
    double sum = 0;
    for (const double log : logs) cumulative_.push_back(sum += std::exp(log - largest));
  }

  // Returns the number at quantile `uniform`, which is in [0, 1).
  int64_t Draw(double uniform) const {
    const auto found =
        std::upper_bound(cumulative_.begin(), cumulative_.end(), uniform * cumulative_.back());
    return first_ + std::min<int64_t>(found - cumulative_.begin(),
                                      static_cast<int64_t>(cumulative_.size()) - 1);
  }

 private:
  int64_t first_ = 0;
  // Element i is the sum of the probabilities of the numbers first_..first_ + i, up to a constant
  // factor.
  std::vector<double> cumulative_;
};

// Returns a quantile, 0..1, of sorted values, interpolated linearly between the two nearest values.
double Quantile(const std::vector<int64_t>& sorted, double quantile) {
  const double at = quantile * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(std::floor(at));
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const auto low = static_cast<double>(sorted[below]), high = static_cast<double>(sorted[above]);
  return low + (high - low) * (at - static_cast<double>(below));
}

}  // namespace

Interval BootstrapAccuracy(int64_t correct, int64_t images, int draws) {
  if (images == 0) return {};
  const double accuracy = static_cast<double>(correct) / static_cast<double>(images);
  if (correct == 0 || correct == images) return {accuracy, accuracy};
  const Binomial binomial(images, accuracy);
  RandomStream random(/*seed=*/0, RandomPurpose::kBootstrap, /*period=*/0, /*index=*/0);
  std::vector<int64_t> sums;
  for (int draw = 0; draw < draws; ++draw) sums.push_back(binomial.Draw(random.Uniform()));
  std::sort(sums.begin(), sums.end());
  const auto all = static_cast<double>(images);
  return {Quantile(sums, kLow) / all, Quantile(sums, kHigh) / all};
}

}  // namespace finetune
