#ifndef FINETUNE_TRAIN_BEST_VALIDATIONS_H_
#define FINETUNE_TRAIN_BEST_VALIDATIONS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace finetune {

// A validation and the iteration after which it was made. `value`: that of
// runtime.checkpoint.best_metric.
struct BestValidation {
  double value = 0;
  int64_t iteration = 0;

  bool operator==(const BestValidation&) const = default;
};

// Adds a validation to the best ones of a run, which are sorted by value, the best first. Of equal
// values the earlier validation comes first. Keeps at most `most` of them. Returns whether `added`
// is among them.
bool AddToBest(const BestValidation& added, bool higher_is_better, size_t most,
               std::vector<BestValidation>* best);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_BEST_VALIDATIONS_H_
