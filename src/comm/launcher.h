#ifndef FINETUNE_COMM_LAUNCHER_H_
#define FINETUNE_COMM_LAUNCHER_H_

#include "absl/time/time.h"

namespace finetune {

// Has Open MPI's process that started this rank (mpirun, or its daemon on this host) killed where
// it still runs `grace` from now, whether or not this process does. After MPI_Abort mpirun waits
// for its daemons; one on a host that the network has lost it awaits for as long as TCP has hope,
// which is a quarter of an hour on Linux. The launchers of others (Slurm's) are left alone.
void EndLauncherAfter(absl::Duration grace);

}  // namespace finetune

#endif  // FINETUNE_COMM_LAUNCHER_H_
