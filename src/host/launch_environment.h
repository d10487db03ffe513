#ifndef FINETUNE_HOST_LAUNCH_ENVIRONMENT_H_
#define FINETUNE_HOST_LAUNCH_ENVIRONMENT_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace finetune {

// The program that started this process as one of several ranks.
enum class Launcher {
  kNone,      // no launcher but a shell or a batch script: one rank, which needs no MPI
  kOpenMpi,   // Open MPI's mpirun
  kPmi,       // mpiexec of an MPICH (Cray's and Intel's too), or srun --mpi=pmi2
  kPmix,      // srun --mpi=pmix
  kSrunOnly,  // srun without an MPI plug-in
};

// A process's rank and the size of its job, from the launcher's environment variables. They are
// known before MPI starts.
struct Launch {
  Launcher launcher = Launcher::kNone;
  int rank = 0;
  // The number of ranks in the job, and the number on this host; 0 where the launcher does not say.
  int size = 1;
  int local_size = 1;
};

// Returns this process's launch. `get` is std::getenv or a test's replacement. A value that is not
// a number counts as unset.
Launch ReadLaunch(const std::function<const char*(const char*)>& get);
Launch ReadLaunch();

// Returns this process's rank, or 0 where no launcher started it. Meant for messages before MPI
// starts.
int LaunchRank();

// Checks that the launcher lets MPI connect the ranks. Errors: FailedPrecondition for kSrunOnly:
// there each task would take itself for the only rank, and all would write the same files.
absl::Status CheckLaunch(const Launch& launch);

// Checks that MPI_COMM_WORLD has as many ranks (`world_size`) as the launcher started. In a program
// that was built for another MPI than the launcher's, each rank is alone in its MPI_COMM_WORLD, and
// all would write the same files. `library`: MPI's name and version. Errors: FailedPrecondition
// with both sizes.
absl::Status CheckWorld(const Launch& launch, int world_size, absl::string_view library);

}  // namespace finetune

#endif  // FINETUNE_HOST_LAUNCH_ENVIRONMENT_H_
