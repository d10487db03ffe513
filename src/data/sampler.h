#ifndef FINETUNE_DATA_SAMPLER_H_
#define FINETUNE_DATA_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace finetune {

// Which pictures make up each global batch, and which of them are a rank's.
//
// Global batch b of an epoch is order[b * total_batch, (b + 1) * total_batch), whatever the number
// of ranks; rank r of w takes the r-th of w even, contiguous parts of it. So an epoch holds every
// picture once, and a run's batches are the same on any number of ranks.
struct Sampler {
  int64_t pictures = 0;
  int64_t total_batch = 0;
  int rank = 0;
  int world_size = 1;
  uint64_t seed = 0;
  bool shuffle = false;
  bool drop_last = false;

  int64_t iterations_per_epoch() const {
    return drop_last ? pictures / total_batch : (pictures + total_batch - 1) / total_batch;
  }

  // All pictures in the epoch's order.
  std::vector<int64_t> Order(int64_t epoch) const;

  // Pictures in global batch `iteration` of an epoch, over all ranks.
  int64_t GlobalSize(int64_t iteration) const;

  // This rank's part of it. `order` is the epoch's.
  absl::Span<const int64_t> Part(absl::Span<const int64_t> order, int64_t iteration) const;

  // This rank's part, and the images that make whole pairs of it: images 2k and 2k + 1 of the
  // global batch are a pair, and the last image of an odd batch is alone.
  struct Pairs {
    // Begins with the first image of a pair. One image more than the part at either end, at most.
    absl::Span<const int64_t> indices;
    // Where the part begins in `indices`.
    int64_t first = 0;
  };
  Pairs PartInPairs(absl::Span<const int64_t> order, int64_t iteration) const;

  // The most pictures Part ever has.
  int64_t LargestPart() const { return (total_batch + world_size - 1) / world_size; }
};

}  // namespace finetune

#endif  // FINETUNE_DATA_SAMPLER_H_
