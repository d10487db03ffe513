#ifndef FINETUNE_TRAIN_STOP_SIGNAL_H_
#define FINETUNE_TRAIN_STOP_SIGNAL_H_

#include <sys/types.h>

#include <csignal>

namespace finetune {

// While this object exists, SIGTERM, SIGINT, SIGUSR1 and SIGHUP (a lost terminal; not under nohup)
// ask the run to save and stop instead of ending the process. A second SIGINT ends the process at
// once. A second SIGTERM does not, because scancel sends each rank one from Slurm and one from srun
// or mpirun. Only one such object may exist at a time.
class StopSignal {
 public:
  // With `answers`, the first signal is answered on standard error at once, because finishing an
  // iteration may take a while. SIGTERM is not answered, because a launcher also sends it when a
  // rank has died. `launcher`: the process id of Open MPI's process that started this rank; 0:
  // none.
  explicit StopSignal(bool answers, pid_t launcher = 0);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // Returns the signal that was received, or 0.
  int received() const;
  // Returns whether a signal was answered on standard error.
  bool answered() const;

  // Returns whether the launcher has sent SIGCONT since the last call. Open MPI's mpirun sends it
  // before it ends its ranks: version 5 sends SIGTERM 0.25 s later and SIGKILL 0.5 s later. The
  // launcher also sends it when the user resumes it after Ctrl-Z, so the run should save but not
  // stop.
  bool TakeWarning();

 private:
  struct sigaction old_term_ = {};
  struct sigaction old_int_ = {};
  struct sigaction old_usr1_ = {};
  struct sigaction old_hup_ = {};
  struct sigaction old_cont_ = {};
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_STOP_SIGNAL_H_
