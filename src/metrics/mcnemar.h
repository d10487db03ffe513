#ifndef FINETUNE_METRICS_MCNEMAR_H_
#define FINETUNE_METRICS_MCNEMAR_H_

#include <cstdint>

#include "absl/types/span.h"
#include "src/metrics/prediction.h"

namespace finetune {

// Two models' answers for the same images.
struct PairedResult {
  int64_t both = 0;         // images that both have right
  int64_t only_first = 0;   // images that the first alone has right
  int64_t only_second = 0;  // images that the second alone has right
  int64_t neither = 0;
  // The two-sided probability of a difference as large as this one between two models that are
  // right equally often. 1 where the models do not differ.
  double p_value = 1;
};

// McNemar's test (McNemar 1947, "Note on the sampling error of the difference between correlated
// proportions or percentages") in its exact form: of the images that one model alone has right,
// each model's number follows the binomial distribution with probability 1/2. `first` and `second`
// are of the same images in the same order.
PairedResult CompareByMcNemar(absl::Span<const Prediction> first,
                              absl::Span<const Prediction> second);

// Returns the p-value alone, for two counts of 0 or more.
double McNemarPValue(int64_t only_first, int64_t only_second);

}  // namespace finetune

#endif  // FINETUNE_METRICS_MCNEMAR_H_
