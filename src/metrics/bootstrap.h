#ifndef FINETUNE_METRICS_BOOTSTRAP_H_
#define FINETUNE_METRICS_BOOTSTRAP_H_

#include <cstdint>

namespace finetune {

struct Interval {
  double low = 0;
  double high = 0;
};

inline constexpr int kBootstrapDraws = 2000;

// Returns the 95 % interval of an accuracy by the percentile bootstrap (Efron 1979; Efron and
// Tibshirani 1993, chapter 13): the accuracies of `draws` lists of `images` images, each drawn with
// replacement, from their 2.5 % to their 97.5 % quantile, interpolated linearly. Where all images
// are right, or none, so are those of each list, and the interval is a point.
//
// A list drawn with replacement holds a binomial number of right images, so that number is drawn in
// place of the list: the distribution is the same, and the time does not grow with `images`. Draws
// are keyed by their number alone: the same accuracy always has the same interval.
Interval BootstrapAccuracy(int64_t correct, int64_t images, int draws = kBootstrapDraws);

}  // namespace finetune

#endif  // FINETUNE_METRICS_BOOTSTRAP_H_
