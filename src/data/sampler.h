#ifndef FINETUNE_DATA_SAMPLER_H_
#define FINETUNE_DATA_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/base/ceil_divide.h"

namespace finetune {

// Chooses the images of each global batch, and the part of the batch that each rank takes.
//
// Global batch b of an epoch has the images order[b * total_batch, (b + 1) * total_batch), where
// `order` is Order() of the epoch. It is cut into world_size contiguous parts whose sizes differ by
// at most one, and rank r takes part r. So an epoch uses every image once (with drop_last at most
// once), and a run has the same global batches on any number of ranks.
struct Sampler {
  // images: the number of images in the split. total_batch: the number of images in a global batch.
  // drop_last: whether an epoch leaves out a last batch that is short.
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

  // Returns the indices of all images in the order in which `epoch` uses them.
  std::vector<int64_t> Order(int64_t epoch) const;

  // Returns the number of images in global batch `iteration` of an epoch. Only the last batch may
  // have fewer than total_batch.
  int64_t GlobalSize(int64_t iteration) const;

  // Returns the indices of this rank's images in global batch `iteration`. `order`: Order() of the
  // epoch.
  absl::Span<const int64_t> Part(absl::Span<const int64_t> order, int64_t iteration) const;

  // This rank's part of a global batch, extended to whole pairs. The images at the positions 2k and
  // 2k + 1 of a global batch are a pair. If the batch has an odd size, its last image has no
  // partner.
  struct Pairs {
    // The indices of the images, beginning with the first image of a pair. At either end there may
    // be one image that is not in this rank's part.
    absl::Span<const int64_t> indices;
    // The position in `indices` of the first image of this rank's part: 0 or 1.
    int64_t first = 0;
  };
  Pairs PartInPairs(absl::Span<const int64_t> order, int64_t iteration) const;

  // Returns the largest number of images that Part() returns for any rank and iteration.
  int64_t LargestPart() const { return CeilDivide(total_batch, world_size); }
};

}  // namespace finetune

#endif  // FINETUNE_DATA_SAMPLER_H_
