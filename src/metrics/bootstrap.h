#ifndef FINETUNE_METRICS_BOOTSTRAP_H_
#define FINETUNE_METRICS_BOOTSTRAP_H_

#include <cstdint>

namespace finetune {

struct Interval {
  double low = 0;
  double high = 0;
};

inline constexpr int kBootstrapDraws = 2000;

// Returns the 95 % interval of the accuracy `correct` / `images` by the percentile bootstrap (Efron
// 1979; Efron and Tibshirani 1993, chapter 13). The bootstrap draws `draws` lists of `images`
// images with replacement; the interval goes from the 2.5 % to the 97.5 % quantile of their
// accuracies, interpolated linearly. If all images are right, or none, every list has the same
// accuracy and the interval has length 0.
//
// The number of right images in such a list follows a binomial distribution. So the number is drawn
// instead of the list, and the time does not grow with `images`. Each random number depends only on
// the number of its draw, so the same accuracy always has the same interval.
Interval BootstrapAccuracy(int64_t correct, int64_t images, int draws = kBootstrapDraws);

}  // namespace finetune

#endif  // FINETUNE_METRICS_BOOTSTRAP_H_
