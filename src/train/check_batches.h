#ifndef FINETUNE_TRAIN_CHECK_BATCHES_H_
#define FINETUNE_TRAIN_CHECK_BATCHES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// The facts that, together with the batch sizes of a SplitConfig, decide from how many images each
// batch norm takes its statistics in a training pass.
struct EpochShape {
  int64_t images = 0;
  int ranks = 1;
  // Batch norm takes its statistics over all ranks' images.
  bool sync_batch_norm = false;
};

// Checks that every pass of training has at least two images. With one image, a batch norm whose
// feature map is 1x1 has one value per channel, which has no variance. Errors: InvalidArgument that
// names the pass with one image and lists config changes, each of which gives every pass two images
// or more.
absl::Status CheckNoLoneImage(const SplitConfig& train, const EpochShape& epoch);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_CHECK_BATCHES_H_
