#ifndef FINETUNE_TRAIN_CHECK_BATCHES_H_
#define FINETUNE_TRAIN_CHECK_BATCHES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// How an epoch's pictures are shared out to forward and backward passes.
struct EpochShape {
  int64_t pictures = 0;
  int ranks = 1;
  // Batch norm takes its statistics over all ranks' pictures.
  bool sync_batch_norm = false;
};

// Whether every pass of training has two pictures or more: with one, a batch norm whose feature map
// is 1x1 has one value a channel, which has no variance. Errors: InvalidArgument that says which
// pass has one picture, and only such changes of the config as make all passes larger.
absl::Status CheckNoLonePicture(const SplitConfig& train, const EpochShape& epoch);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_CHECK_BATCHES_H_
