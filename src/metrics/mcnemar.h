#ifndef FINETUNE_METRICS_MCNEMAR_H_
#define FINETUNE_METRICS_MCNEMAR_H_

#include <cstdint>

#include "absl/types/span.h"
#include "src/metrics/prediction.h"

namespace finetune {

// Two models' answers for the same images.
struct PairedResult {
  int64_t both = 0;         // images that both models classify correctly
  int64_t only_first = 0;   // images that only the first model classifies correctly
  int64_t only_second = 0;  // images that only the second model classifies correctly
  int64_t neither = 0;
  // The two-sided p-value: the probability of a difference at least as large as this one if both
  // models were equally accurate. 1 where only_first equals only_second.
  double p_value = 1;
};

// McNemar's test (McNemar 1947, "Note on the sampling error of the difference between correlated
// proportions or percentages") in its exact form. It uses the images that exactly one model
// classifies correctly: if both models are equally accurate, the number of these images that the
// first model classifies correctly follows the binomial distribution with probability 1/2. `first`
// and `second` hold the predictions for the same images in the same order.
PairedResult CompareByMcNemar(absl::Span<const Prediction> first,
                              absl::Span<const Prediction> second);

// Returns the p-value alone, for two counts of 0 or more.
double McNemarPValue(int64_t only_first, int64_t only_second);

}  // namespace finetune

#endif  // FINETUNE_METRICS_MCNEMAR_H_
