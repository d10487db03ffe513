#ifndef FINETUNE_TUNE_BATCH_SEARCH_H_
#define FINETUNE_TUNE_BATCH_SEARCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// The search for the largest and for the fastest micro-batch, without the measuring.

// A measured iteration of one pass on every rank. Of numbers that differ between ranks, the largest
// counts.
struct PassMeasurement {
  int64_t micro_batch = 0;  // images of a rank in the pass
  double pass_s = 0;        // forward and backward on the slowest rank
  double rest_s = 0;        // the iteration's time without pass_s: all-reduces and the update
  int64_t memory_mebibytes = 0;
};

// Measures passes of this many images. Returns ResourceExhausted where they do not fit.
using MeasurePass = std::function<absl::StatusOr<PassMeasurement>(int64_t micro_batch)>;

// Returns the sizes to try, in ascending order: `from`, doubled up to `to`; `to`; and
// `rank_batch`, if it lies between them.
std::vector<int64_t> SizesToTry(int64_t from, int64_t to, int64_t rank_batch);

struct FoundSizes {
  std::vector<PassMeasurement> fitting;  // by ascending micro-batch; not empty
  // The smallest size that was tried and does not fit; unset where all fit.
  std::optional<int64_t> too_large;
};

// Measures `sizes`, which ascend, up to the first that does not fit. Then bisects between that and
// the largest that fits, until they are at most a sixteenth apart. Errors: ResourceExhausted where
// the first size does not fit; other errors of `measure`.
absl::StatusOr<FoundSizes> SearchSizes(const std::vector<int64_t>& sizes,
                                       const MeasurePass& measure);

// The images of an iteration that the config has now.
struct BatchFacts {
  int64_t total_batch = 0;
  int64_t rank_batch = 0;  // images of the rank with the most
  int ranks = 1;
};

// An iteration with a micro-batch.
struct IterationRow {
  int64_t micro_batch = 0;
  // The images of all ranks in the iteration: those of the config, or for a micro-batch that is
  // larger than a rank's part of them, one pass of every rank.
  int64_t total_batch = 0;
  int64_t passes = 0;  // of the rank with the most images
  double seconds = 0;
  double images_per_s = 0;  // of all ranks
  int64_t memory_mebibytes = 0;
};

IterationRow RowOf(const PassMeasurement& measurement, const BatchFacts& facts);

// Returns the index of the fastest of the rows that keep the config's total batch: the smallest
// micro-batch within 2 % of the best throughput, because differences below that are noise, and a
// smaller one takes less memory. Returns nullopt where no row keeps the total batch.
std::optional<size_t> FastestRow(const std::vector<IterationRow>& rows, const BatchFacts& facts);

}  // namespace finetune

#endif  // FINETUNE_TUNE_BATCH_SEARCH_H_
