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
// An epoch is a sequence of `images` visits, its order. A visit is a number that names an image and
// how often the epoch has visited it before: visit v is of image v % images, for the (v / images +
// 1)-th time. So a visit is the image's index where an epoch has every image once, and all visits
// of an epoch differ. Augmentation is drawn by visit, so repeated images are augmented differently.
//
// Global batch b of an epoch is order[b * total_batch, (b + 1) * total_batch), for any number of
// ranks. Rank r of w takes the r-th of w contiguous parts of it, whose sizes differ by at most one.
// So a run has the same batches on any number of ranks.
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
  // The indices of each class's images, for an epoch that has equally many images of each class
  // (SplitConfig::CLASS_BALANCED). Null: an epoch has every image once.
  std::shared_ptr<const std::vector<std::vector<int64_t>>> images_by_class = nullptr;
  // The number of visits of each image in its global batch; see SplitConfig.repeated_augmentation.
  int repeats = 1;

  int64_t iterations_per_epoch() const {
    return drop_last ? images / total_batch : CeilDivide(images, total_batch);
  }

  // Returns the visits of `epoch` in their order.
  std::vector<int64_t> Order(int64_t epoch) const;

  // Returns the index of a visit's image.
  int64_t ImageOf(int64_t visit) const { return visit % images; }

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
    // The visits. They begin with the first image of a pair and have at most one
    // image more than the part at either end.
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
