#include "src/tune/lr_curve.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace finetune {
namespace {

// The smoothed loss must fall by this share before a rate is suggested.
constexpr double kLeastFall = 0.01;

}  // namespace

double TestLearningRate(const LrTestOptions& options, int64_t iteration) {
  if (options.iterations < 2) return options.min;
  const double progress =
      static_cast<double>(iteration) / static_cast<double>(options.iterations - 1);
  return options.min * std::pow(options.max / options.min, progress);
}

double LrCurve::NextRate() const {
  return TestLearningRate(options_, static_cast<int64_t>(points_.size()));
}

bool LrCurve::Add(double loss) {
  last_rate_ = NextRate();
  if (!std::isfinite(loss)) {
    end_ = LrTestEnd::kNotFinite;
    return false;
  }
  average_ = options_.smoothing * average_ + (1 - options_.smoothing) * loss;
  const auto count = static_cast<double>(points_.size() + 1);
  const double smoothed = average_ / (1 - std::pow(options_.smoothing, count));
  if (points_.empty() || smoothed < best_) best_ = smoothed;
  points_.push_back({last_rate_, loss, smoothed});
  if (smoothed > options_.stop_factor * best_) {
    end_ = LrTestEnd::kLossRose;
    return false;
  }
  end_ = LrTestEnd::kHighestRate;
  return static_cast<int64_t>(points_.size()) < options_.iterations;
}

absl::StatusOr<LrSuggestion> SuggestLearningRate(const LrCurve& curve) {
  const std::vector<LrPoint>& points = curve.points();
  const auto begin = static_cast<size_t>(curve.options().iterations / 10);
  const size_t end = points.empty() ? 0 : points.size() - 1;
  if (end < begin + 2) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "no suggestion: found %d losses up to the learning rate %.3g; expected %d or more. Begin "
        "with a smaller --min than %.3g",
        points.size(), curve.last_rate(), begin + 3, curve.options().min));
  }
  const auto smoothed = [&](size_t i) { return points[i].smoothed; };
  LrSuggestion suggestion{begin, begin};
  for (size_t i = begin; i < end; ++i) {
    if (smoothed(i) < smoothed(suggestion.lowest)) suggestion.lowest = i;
  }
  if (!(smoothed(suggestion.lowest) <= (1 - kLeastFall) * smoothed(begin))) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "no suggestion: from lr %.3g on the smoothed loss falls from %.4g to %.4g; expected a fall "
        "of %g %% or more, since a smaller one may be noise. Make more --iterations, or narrow the "
        "range by --min and --max",
        points[begin].lr, smoothed(begin), smoothed(suggestion.lowest), 100 * kLeastFall));
  }
  double steepest = HUGE_VAL;
  for (size_t i = begin; i <= suggestion.lowest; ++i) {
    const size_t before = std::max(i, begin + 1) - 1, after = std::min(i + 1, end - 1);
    const double slope = (smoothed(after) - smoothed(before)) / static_cast<double>(after - before);
    if (slope < steepest) {
      steepest = slope;
      suggestion.steepest = i;
    }
  }
  return suggestion;
}

}  // namespace finetune
