#ifndef FINETUNE_HOST_LAUNCHER_PROCESS_H_
#define FINETUNE_HOST_LAUNCHER_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace finetune {

// The process that started this rank on its host: mpirun, or mpirun's daemon on another host.
struct LauncherProcess {
  pid_t pid = 0;
  std::string name;                      // "mpirun", "prted", "hydra_pmi_proxy", ...
  std::vector<std::string> arguments;    // its command line
  std::vector<std::string> environment;  // its variables, "NAME=value"

  bool IsSlurms() const { return name == "slurmstepd"; }
  bool IsMpichs() const { return name == "hydra_pmi_proxy"; }
  bool IsOpenMpis() const { return !IsSlurms() && !IsMpichs(); }
};

// Returns the nearest ancestor of this process that is an MPI launcher or Slurm's step daemon; none
// where a shell started this process.
std::optional<LauncherProcess> FindLauncherProcess();

// Kills the MPI launcher that is this process's parent if it still runs after `grace`, whether or
// not this process does. After MPI_Abort mpirun waits for its daemons. Where the network has lost a
// host, Linux keeps the TCP connection to it for a quarter of an hour, and mpirun would wait as
// long. Slurm's processes are left alone.
void EndLauncherAfter(absl::Duration grace);

}  // namespace finetune

#endif  // FINETUNE_HOST_LAUNCHER_PROCESS_H_
