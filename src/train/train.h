#ifndef FINETUNE_TRAIN_TRAIN_H_
#define FINETUNE_TRAIN_TRAIN_H_

#include <cstdint>
#include <optional>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/train/evaluate.h"
#include "src/train/train_options.h"

namespace finetune {

struct TrainResult {
  // A signal asked the run to stop. The run has saved a checkpoint, and --resume=auto continues it.
  bool stopped = false;
  int64_t iterations = 0;
  // The result of the last validation, if there was one.
  std::optional<Evaluation> last;
};

// Trains the config's model on this rank. Collective: every rank calls it with the same arguments.
// An error before the first iteration is returned on every rank: InvalidArgument for a mistake of
// the user, AlreadyExists for a file in the work_dir that finetune did not write. If one rank fails
// during training, it ends the job through Communicator::Abort().
absl::StatusOr<TrainResult> Train(const LoadedConfig& loaded, const TrainOptions& options,
                                  Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_TRAIN_H_
