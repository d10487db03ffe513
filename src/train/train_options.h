#ifndef FINETUNE_TRAIN_TRAIN_OPTIONS_H_
#define FINETUNE_TRAIN_TRAIN_OPTIONS_H_

#include <cstdint>
#include <string>

#include "src/observe/run_log.h"
#include "src/observe/trace.h"

namespace finetune {

struct TrainOptions {
  // Where logs, checkpoints and the effective config go.
  std::string work_dir;
  // The checkpoint to continue from. "": none, the run starts from the beginning; "auto":
  // work_dir's newest undamaged checkpoint, if there is one; any other value: a checkpoint's path.
  std::string resume;
  // Resumes even if the data differ from the checkpoint's.
  bool other_data = false;
  // Starts from the beginning in a work_dir that holds an earlier run's checkpoints: those and the
  // earlier run's TensorBoard events are deleted.
  bool overwrite = false;
  // Stops after this many iterations, counted from the start of the run. 0: the schedule's length.
  int64_t max_iterations = 0;
  // The trace that records the times of this rank's work. It must outlive Train(). Null: nothing is
  // recorded.
  Trace* trace = nullptr;
  Verbosity verbosity = Verbosity::kNormal;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_TRAIN_OPTIONS_H_
