#ifndef FINETUNE_TRAIN_START_RUN_H_
#define FINETUNE_TRAIN_START_RUN_H_

#include <memory>
#include <optional>
#include <string>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/observe/run_log.h"
#include "src/optim/early_stopping.h"
#include "src/optim/schedule.h"
#include "src/train/calendar.h"
#include "src/train/checkpoint_keeper.h"
#include "src/train/setup.h"
#include "src/train/snapshot.h"
#include "src/train/train_options.h"
#include "src/train/training_step.h"

namespace finetune {

// The parts of a run on this rank.
struct StartedRun {
  explicit StartedRun(Communicator* communicator) : comm(*communicator) {}
  ~StartedRun() { comm.SetWarn(nullptr); }
  StartedRun(const StartedRun&) = delete;
  StartedRun& operator=(const StartedRun&) = delete;

  Communicator& comm;
  Setup setup;
  std::unique_ptr<TrainingStep> step;
  std::unique_ptr<LearningRateSchedule> schedule;
  std::optional<Calendar> calendar;
  std::optional<EarlyStopping> early_stopping;  // unset where the config has none
  CheckpointMeta meta;
  Progress progress;
  std::unique_ptr<RunLog> log;
  std::unique_ptr<CheckpointKeeper> keeper;  // null on other ranks than rank 0

  // Returns whether schedule.early_stopping has ended the run before its last iteration.
  bool StoppedEarly() const {
    return early_stopping.has_value() && early_stopping->IsOver(progress.early_stopping) &&
           progress.iteration < schedule->total_iterations();
  }
  // Returns the sentence that says why schedule.early_stopping has ended the run.
  std::string WhyStoppedEarly() const;
};

// Builds the run's parts, restores the checkpoint that it continues from, opens its work_dir and
// log, and gives every rank the state of rank 0. Collective. If the run is refused, nothing is
// written. Errors: those of Train() before training; the same on every rank.
absl::StatusOr<std::unique_ptr<StartedRun>> StartRun(const LoadedConfig& loaded,
                                                     const TrainOptions& options,
                                                     Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_START_RUN_H_
