#ifndef FINETUNE_TRAIN_STOP_SIGNAL_H_
#define FINETUNE_TRAIN_STOP_SIGNAL_H_

#include <sys/types.h>

#include <csignal>

namespace finetune {

// While it lives, SIGTERM, SIGINT, SIGUSR1 and SIGHUP (a lost terminal; not under nohup) ask the
// run to save and stop instead of ending the process; a second SIGINT ends it at once, a second
// SIGTERM does not: scancel brings each rank one from Slurm and one from srun or mpirun. One at a
// time.
class StopSignal {
 public:
  // With `answers`, the first signal is answered on standard error at once, as finishing an
  // iteration may take a while; SIGTERM is not, as a launcher sends it also when a rank has died.
  // `launcher`: Open MPI's process that started this rank, or 0.
  explicit StopSignal(bool answers, pid_t launcher = 0);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The signal that came, or 0.
  int received() const;
  // Whether a signal was answered on standard error.
  bool answered() const;

  // Whether the launcher has sent SIGCONT since the last call. Open MPI's mpirun does before it
  // ends its ranks: version 5 sends SIGTERM 0.25 s later and SIGKILL 0.5 s later. It also does when
  // the user lets it go on after Ctrl-Z, so the run should save, and not stop.
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
