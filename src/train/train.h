#ifndef FINETUNE_TRAIN_TRAIN_H_
#define FINETUNE_TRAIN_TRAIN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/observe/run_log.h"
#include "src/observe/trace.h"
#include "src/train/evaluate.h"

namespace finetune {

struct TrainOptions {
  // Where logs, checkpoints and the effective config go.
  std::string work_dir;
  // "": from the start; "auto": from work_dir's newest whole checkpoint, if there is one; else a
  // checkpoint's path.
  std::string resume;
  // Resumes also where the data differ from the checkpoint's.
  bool other_data = false;
  // Begins again in a work_dir that holds an earlier run's checkpoints: they and its TensorBoard
  // events are deleted.
  bool overwrite = false;
  // Stops after so many iterations, counted from the start of the run. 0: the schedule's length.
  int64_t max_iterations = 0;
  // Where this rank's time goes is recorded here, which must outlive Train(). Null: nowhere.
  Trace* trace = nullptr;
  Verbosity verbosity = Verbosity::kNormal;
};

struct TrainResult {
  // A signal asked the run to stop; it has saved, and --resume=auto goes on.
  bool stopped = false;
  int64_t iterations = 0;
  // Of the last validation, where there was one.
  std::optional<Evaluation> last;
};

// The whole job on this rank. Collective: every rank calls it with the same arguments. What goes
// wrong before training is returned on every rank, InvalidArgument for what the user wrote and
// AlreadyExists for a file in the work_dir that finetune did not write; what goes wrong on one rank
// in the middle of training ends the job through Communicator::Abort.
absl::StatusOr<TrainResult> Train(const LoadedConfig& loaded, const TrainOptions& options,
                                  Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_TRAIN_H_
