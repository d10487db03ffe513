#ifndef FINETUNE_DATA_SAMPLER_H_
#define FINETUNE_DATA_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/base/ceil_divide.h"

namespace finetune {

// Chooses the images of each global batch and each rank's part of it.
//
// Global batch b of an epoch is order[b * total_batch, (b + 1) * total_batch), for any number of
// ranks. Rank r of w takes the r-th of w contiguous parts of it, whose sizes differ by at most one.
// So an epoch visits every image once (with drop_last, at most once), and a run has the same
// batches on any number of ranks.
struct Sampler {
  int64_t images = 0;
  int64_t total_batch = 0;
  int rank = 0;
  int world_size = 1;
  uint64_t seed = 0;
  bool shuffle = false;
  bool drop_last = false;

  int64_t iterations_per_epoch() const {
    return drop_last ? images / total_batch : CeilDivide(images, total_batch);
  }

  // Returns the indices of all images in the order of `epoch`.
  std::vector<int64_t> Order(int64_t epoch) const;

  // Returns the number of images in global batch `iteration` of an epoch, over all ranks.
  int64_t GlobalSize(int64_t iteration) const;

  // Returns this rank's part of global batch `iteration`. `order`: Order() of the epoch.
  absl::Span<const int64_t> Part(absl::Span<const int64_t> order, int64_t iteration) const;

  // This rank's part of a global batch, extended to whole pairs. Images 2k and 2k + 1 of the global
  // batch are a pair. The last image of a batch of odd size has no partner.
  struct Pairs {
    // The indices of the images. They begin with the first image of a pair and have at most one
    // image more than the part at either end.
    absl::Span<const int64_t> indices;
    // The position in `indices` at which this rank's part begins.
    int64_t first = 0;
  };
  Pairs PartInPairs(absl::Span<const int64_t> order, int64_t iteration) const;

  // Returns the most images that Part() returns on any rank.
  int64_t LargestPart() const { return CeilDivide(total_batch, world_size); }
};

}  // namespace finetune

#endif  // FINETUNE_DATA_SAMPLER_H_
