#ifndef FINETUNE_TUNE_LR_CURVE_H_
#define FINETUNE_TUNE_LR_CURVE_H_

#include <cstdint>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// The learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural
// Networks"), without the training: the rate of each iteration, the smoothed loss, the end of the
// test and the suggestion. Smoothing and end are those of Lightning's Tuner.lr_find() and of
// fastai.

struct LrTestOptions {
  // The first and the highest learning rate.
  double min = 1e-7;
  double max = 10;
  int64_t iterations = 100;
  // The test ends when the smoothed loss exceeds the best smoothed loss times this.
  double stop_factor = 4;
  // The weight of the earlier losses in the smoothed loss, 0 up to but not 1. 0: no smoothing.
  double smoothing = 0.98;
};

// Returns the learning rate of an iteration, counted from 0. It rises by the same factor from each
// iteration to the next: from `min` in the first to `max` in the last.
double TestLearningRate(const LrTestOptions& options, int64_t iteration);

struct LrPoint {
  double lr = 0;
  // The mean loss of the iteration's global batch, before the update with this rate.
  double loss = 0;
  // The exponential moving average of the losses so far, divided by the sum of its weights. Without
  // the division the average would begin near 0.
  double smoothed = 0;
};

enum class LrTestEnd {
  kHighestRate,  // all iterations have been made
  kLossRose,     // the smoothed loss rose to stop_factor times its best
  kNotFinite,    // a loss was infinite or NaN
};

// The losses of a range test so far.
class LrCurve {
 public:
  explicit LrCurve(const LrTestOptions& options) : options_(options) {}

  // Returns the learning rate of the next iteration.
  double NextRate() const;
  // Adds the loss of an iteration that was made with NextRate(). A loss that is not finite ends the
  // test and is not added. Returns whether the test goes on.
  bool Add(double loss);

  const LrTestOptions& options() const { return options_; }
  const std::vector<LrPoint>& points() const { return points_; }
  // Returns why the test has ended. Call it only after Add() has returned false.
  LrTestEnd end() const { return end_; }
  // Returns the learning rate of the last iteration. Call it only after Add().
  double last_rate() const { return last_rate_; }

 private:
  const LrTestOptions options_;
  std::vector<LrPoint> points_;
  double average_ = 0;  // the moving average before the division
  double best_ = 0;     // the lowest smoothed loss
  double last_rate_ = 0;
  LrTestEnd end_ = LrTestEnd::kHighestRate;
};

struct LrSuggestion {
  // The index of the point at which the smoothed loss falls most steeply, and of the point with the
  // lowest smoothed loss.
  size_t steepest = 0;
  size_t lowest = 0;
};

// Returns the points from which a learning rate is suggested. The slope at a point is that between
// its two neighbours, over the logarithm of the rate. The first tenth of the planned iterations and
// the last point are left out: the first averages are of few losses, and the last one may be of a
// loss that rose. Points after the lowest one are left out for the steepest, because a loss that
// comes down after a peak falls steeply, too. Errors: FailedPrecondition where too few points are
// left, or the smoothed loss falls by less than 1 %; the message says what to change.
absl::StatusOr<LrSuggestion> SuggestLearningRate(const LrCurve& curve);

}  // namespace finetune

#endif  // FINETUNE_TUNE_LR_CURVE_H_
