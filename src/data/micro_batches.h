#ifndef FINETUNE_DATA_MICRO_BATCHES_H_
#define FINETUNE_DATA_MICRO_BATCHES_H_

#include <cstdint>

#include "src/base/ceil_divide.h"

namespace finetune {

// Divides the images that a rank has in one iteration into micro-batches. Each micro-batch is one
// pass through the model, of at most `most` images. The sizes of the passes differ by at most one.
// Example: 10 images with most = 4 make passes of 3, 3 and 4 images.
class MicroBatches {
 public:
  // `most`: the largest number of images in a pass. 0: all images are in one pass.
  static MicroBatches Of(int64_t images, int64_t most) {
    return MicroBatches(images, PassesOf(images, most));
  }
  // As Of(), but makes as many passes as the rank with the most images (`largest_part`) needs; some
  // passes may then have no image. Batch norms that sum over the ranks need the same number of
  // passes on every rank.
  static MicroBatches InStep(int64_t images, int64_t largest_part, int64_t most) {
    return MicroBatches(images, PassesOf(largest_part, most));
  }

  int64_t passes() const { return passes_; }
  // Returns the index of the first image of `pass`. For `pass` == passes(), returns the number of
  // images.
  int64_t Begin(int64_t pass) const { return images_ * pass / passes_; }
  int64_t Size(int64_t pass) const { return Begin(pass + 1) - Begin(pass); }

 private:
  MicroBatches(int64_t images, int64_t passes) : images_(images), passes_(passes) {}
  static int64_t PassesOf(int64_t images, int64_t most) {
    if (images == 0) return 0;
    return most > 0 ? CeilDivide(images, most) : 1;
  }

  int64_t images_, passes_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_MICRO_BATCHES_H_
