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

}  // namespace finetune

#endif  // FINETUNE_TRAIN_TRAIN_OPTIONS_H_
