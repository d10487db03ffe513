#ifndef FINETUNE_TRAIN_TRAIN_H_
#define FINETUNE_TRAIN_TRAIN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/observe/trace.h"
#include "src/train/evaluate.h"

namespace finetune {

struct TrainOptions {
  // The folder for logs, checkpoints and the effective config.
  std::string work_dir;
  // "": start from the beginning; "auto": continue from work_dir's newest whole checkpoint, if
  // there is one; else the path of a checkpoint.
  std::string resume;
  // Resumes also where the data differ from the checkpoint's.
  bool other_data = false;
  // Starts over in a work_dir that holds an earlier run's checkpoints. They and the earlier run's
  // TensorBoard events are deleted.
  bool overwrite = false;
  // Stops after so many iterations, counted from the start of the run. 0: the schedule's length.
  int64_t max_iterations = 0;
  // The trace that records this rank's time. It must outlive Train(). Null: none.
  Trace* trace = nullptr;
};

struct TrainResult {
  // A signal asked the run to stop. It has saved, and --resume=auto continues it.
  bool stopped = false;
  int64_t iterations = 0;
  // The result of the last validation, if there was one.
  std::optional<Evaluation> last;
};

// Runs the whole job on this rank. Collective: every rank calls it with the same arguments. An
// error before training is returned on every rank: InvalidArgument for a mistake of the user,
// AlreadyExists for a file in the work_dir that finetune did not write. An error of one rank in the
// middle of training ends the job through Communicator::Abort.
absl::StatusOr<TrainResult> Train(const LoadedConfig& loaded, const TrainOptions& options,
                                  Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_TRAIN_H_
