#ifndef FINETUNE_DATA_SAMPLER_H_
#define FINETUNE_DATA_SAMPLER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "src/base/ceil_divide.h"

namespace finetune {

// Chooses the images of each global batch, and the part of the batch that each rank takes.
//
// The order of an epoch is a list of `images` visits. A visit is a number that stands for an image
// and for a count of its occurrences: visit v is occurrence v / images + 1 of image v % images in
// the epoch. All visits of an epoch differ. If an epoch has every image once, a visit is just the
// image's index. Augmentation is drawn by visit, so repeated images are augmented differently.
//
// Global batch b of an epoch is order[b * total_batch, (b + 1) * total_batch), for any number of
// ranks. The batch is divided into contiguous parts, one for each rank, whose sizes differ by at
// most one. So a run has the same batches on any number of ranks.
struct Sampler {
  // images: the number of images in the split. total_batch: the number of images in a global batch.
  // drop_last: whether an epoch leaves out its last batch if that has fewer than total_batch
  // images.
  int64_t images = 0;
  int64_t total_batch = 0;
  int rank = 0;
  int world_size = 1;
  uint64_t seed = 0;
  bool shuffle = false;
  bool drop_last = false;
  // For SplitConfig::CLASS_BALANCED, the indices of each class's images, by label. Null: an epoch
  // has every image once, unless `repeats` is over 1.
  std::shared_ptr<const std::vector<std::vector<int64_t>>> images_by_class = nullptr;
  // How often a global batch has each of its images; see SplitConfig.repeated_augmentation.
  int repeats = 1;

  int64_t iterations_per_epoch() const {
    return drop_last ? images / total_batch : CeilDivide(images, total_batch);
  }

  // Returns the visits of `epoch`, in the order in which the run takes them.
  std::vector<int64_t> Order(int64_t epoch) const;

  // Returns the index of a visit's image.
  int64_t ImageOf(int64_t visit) const { return visit % images; }

  // Returns the number of images in global batch `iteration` of an epoch. Only the last batch may
  // have fewer than total_batch.
  int64_t GlobalSize(int64_t iteration) const;

  // Returns the visits of this rank in global batch `iteration` of an epoch. `order`: Order() of
  // the epoch.
  absl::Span<const int64_t> Part(absl::Span<const int64_t> order, int64_t iteration) const;

  // This rank's part of a global batch, extended to whole pairs. The images at the positions 2k and
  // 2k + 1 of a global batch are a pair. If the batch has an odd size, its last image has no
  // partner.
  struct Pairs {
    // The visits of the extended part, which has at most one visit more at either end.
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
