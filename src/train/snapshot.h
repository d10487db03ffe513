#ifndef FINETUNE_TRAIN_SNAPSHOT_H_
#define FINETUNE_TRAIN_SNAPSHOT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/checkpoint/value.h"
#include "src/model/classifier.h"
#include "src/optim/optimizer.h"
#include "src/train/data_identity.h"

namespace finetune {

// Where a run is; with the model's tensors and the optimiser's it is all that a resumed run needs,
// since batches and augmentation follow from the seed.
struct Progress {
  // Iterations done, from the start of the run.
  int64_t iteration = 0;
  // The best validation accuracy so far, and the iteration it was reached at.
  double best_accuracy = -1;
  int64_t best_iteration = 0;
  // The validation after this iteration is still to come: a signal stopped the run before it.
  bool validation_due = false;
};

// What a checkpoint says of the run besides.
struct CheckpointMeta {
  std::string config_text;
  uint64_t seed = 0;
  int64_t iterations_per_epoch = 1;
  int64_t total_batch = 0;
  DataIdentity data;
};

// The checkpoint's root: `state_dict`, `optimizer` (see OptimizerToValue()) and `meta`, as
// mmpretrain lays them out. Tensors are the live ones, not copies.
Value MakeCheckpoint(const Classifier& model, const Optimizer& optimizer, const Progress& progress,
                     const CheckpointMeta& meta);

// A checkpoint's progress, and what to say about it.
struct Restored {
  Progress progress;
  std::vector<std::string> warnings;
};

// Puts a checkpoint's tensors into the model and the optimiser. `other_data`: the data may differ
// from the checkpoint's; the run then goes on in the same epoch of the new data, and with other
// validation data the best accuracy begins anew. Errors: InvalidArgument when it is of another
// model or optimiser, or of a run with another seed, total batch or data, whose pictures would not
// go on where this one stopped.
absl::StatusOr<Restored> RestoreCheckpoint(const Value& root, const CheckpointMeta& expected,
                                           bool other_data, Classifier* model,
                                           Optimizer* optimizer);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_SNAPSHOT_H_
