#ifndef FINETUNE_HOST_LAUNCHER_PROCESS_H_
#define FINETUNE_HOST_LAUNCHER_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace finetune {

// The process that started this rank on its host: mpirun, mpirun's daemon on another host, or
// Slurm's step daemon.
struct LauncherProcess {
  pid_t pid = 0;
  std::string name;                      // "mpirun", "prted", "hydra_pmi_proxy", ...
  std::vector<std::string> arguments;    // its command line
  std::vector<std::string> environment;  // its variables, "NAME=value"

  bool IsSlurms() const { return name == "slurmstepd"; }
  bool IsMpichs() const { return name == "hydra_pmi_proxy"; }
  bool IsOpenMpis() const { return !IsSlurms() && !IsMpichs(); }
};

// Returns the nearest ancestor of this process that is an MPI launcher or Slurm's step daemon.
// Returns nothing where neither is among the ancestors.
std::optional<LauncherProcess> FindLauncherProcess();

// Starts a process that kills this process's parent if the parent is an MPI launcher and still runs
// after `grace`. It does so even when this process has ended by then. This is for MPI_Abort, after
// which mpirun waits for its daemons: when the network has lost a host, Linux keeps the TCP
// connection to it for a quarter of an hour, and mpirun would wait as long. Does nothing where the
// parent is not an MPI launcher, such as Slurm's daemon.
void EndLauncherAfter(absl::Duration grace);

}  // namespace finetune

#endif  // FINETUNE_HOST_LAUNCHER_PROCESS_H_
