#ifndef FINETUNE_TRAIN_STOP_SIGNAL_H_
#define FINETUNE_TRAIN_STOP_SIGNAL_H_

#include <csignal>

namespace finetune {

// While it lives, SIGTERM, SIGINT and SIGUSR1 ask the run to save and stop instead of ending the
// process; a second SIGINT ends it at once, a second SIGTERM does not: scancel
// brings each rank one from Slurm and one from srun or mpirun. One at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // The signal that came, or 0.
  int received() const;

 private:
  struct sigaction old_term_ = {};
  struct sigaction old_int_ = {};
  struct sigaction old_usr1_ = {};
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_STOP_SIGNAL_H_
