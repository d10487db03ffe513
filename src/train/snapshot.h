#ifndef FINETUNE_TRAIN_SNAPSHOT_H_
#define FINETUNE_TRAIN_SNAPSHOT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/checkpoint/value.h"
#include "src/config/config.h"
#include "src/model/classifier.h"
#include "src/optim/early_stopping.h"
#include "src/optim/optimizer.h"
#include "src/optim/plateau.h"
#include "src/optim/weight_average.h"
#include "src/train/best_validations.h"
#include "src/train/data_identity.h"

namespace finetune {

// The progress of a run. With the tensors of the model and the optimizer it is all that a resumed
// run needs, because batches and augmentation follow from the seed.
struct Progress {
  // The iterations done since the start of the run.
  int64_t iteration = 0;
  // The best validations so far by runtime.checkpoint.best_metric, the best first; at most
  // runtime.checkpoint.keep_best.
  std::vector<BestValidation> best;
  EarlyStoppingState early_stopping;
  PlateauState plateau;
  // The validation after this iteration is still due, because a signal stopped the run before it.
  bool validation_due = false;
  // The running statistics of the averaged weights are still to be computed; see SwaConfig.
  bool statistics_due = false;
};

// The metrics of validations by which the run decides.
struct DecidingMetrics {
  ValidationMetric best = TOP1;
  // Unset where the config has no schedule.early_stopping or schedule.plateau.
  std::optional<ValidationMetric> early_stopping, plateau;
};

// The other facts about the run in a checkpoint.
struct CheckpointMeta {
  std::string config_text;
  DecidingMetrics metrics;
  size_t keep_best = 1;
  uint64_t seed = 0;
  int64_t iterations_per_epoch = 1;
  int64_t total_batch = 0;
  DataIdentity data;
};

// Returns a checkpoint's root, a dict with mmpretrain's layout: `state_dict`, `optimizer` (see
// OptimizerToValue()) and `meta`. If `average` is not null, it also has `state_dict_ema` (timm's
// name): the model's tensors with the averaged weights. The tensors share memory with the model,
// the optimizer and the average.
Value MakeCheckpoint(const Classifier& model, const Optimizer& optimizer,
                     const WeightAverage* average, const Progress& progress,
                     const CheckpointMeta& meta);

// A checkpoint's progress, and sentences about it for the log.
struct Restored {
  Progress progress;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
};

// Copies a checkpoint's tensors into the model, the optimizer and the average, which may be null. A
// checkpoint without averaged weights starts an average that has begun at its weights, with a
// warning.
// `expected`: the facts of this run; `loaded`: its config. `other_data`: accepts data that differ
// from the checkpoint's; the run then continues at the same epoch of the new data, and if the
// validation data differ all that the run has decided by validations is reset, except the
// reductions of schedule.plateau. A decision by another metric than that of `expected` is reset
// too. Errors: InvalidArgument for a checkpoint of a different network (CheckNetwork()) or
// optimizer, for a file of `finetune export`, and for a checkpoint of a run with a different seed,
// total batch or data, because the order of images would not continue where that run stopped.
absl::StatusOr<Restored> RestoreCheckpoint(const Value& root, const CheckpointMeta& expected,
                                           const LoadedConfig& loaded, bool other_data,
                                           Classifier* model, Optimizer* optimizer,
                                           WeightAverage* average);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_SNAPSHOT_H_
