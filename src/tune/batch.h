#ifndef FINETUNE_TUNE_BATCH_H_
#define FINETUNE_TUNE_BATCH_H_

#include <cstdint>
#include <functional>
#include <string>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/tune/batch_search.h"

namespace finetune {

// The flags of `finetune batch`. See `finetune help batch`.
struct BatchFlags {
  int from = 1;
  int to = 1024;
  int iterations = 5;  // measured iterations of each size; their median counts
};

// Checks flags that must go together. Errors: InvalidArgument.
absl::Status CheckBatchFlags(const BatchFlags& flags);

// The sizes that fit, and the config's batch.
struct BatchResult {
  BatchFacts facts;
  FoundSizes found;
};

// Measures iterations of the config's training with micro-batches of several sizes, on all ranks at
// the same time: the run's model, optimizer and all-reduces, and images of random noise in memory.
// A size fits if it fits on every rank. `on_row` is called on every rank after each size that fits,
// and `on_too_large` after each that does not, with the reason. Collective. Errors: those of
// Prepare() and SearchSizes(), on every rank. If one rank fails for another reason than its memory,
// it ends the job through Communicator::Abort().
absl::StatusOr<BatchResult> MeasureBatches(
    const LoadedConfig& loaded, const BatchFlags& flags,
    const std::function<void(const BatchFacts& facts, const IterationRow& row)>& on_row,
    const std::function<void(int64_t micro_batch, const std::string& reason)>& on_too_large,
    Communicator* comm);

// Returns the sentences and the lines for the config that end the command's output. `train`: the
// config's data.train.
std::string Recommend(const BatchResult& result, const SplitConfig& train);

// Runs `finetune batch`: measures, and prints the table and the recommendation on rank 0.
// Collective. Errors: those of MeasureBatches().
absl::Status RunBatch(const LoadedConfig& loaded, const BatchFlags& flags, Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TUNE_BATCH_H_
