#ifndef FINETUNE_COMM_LAUNCH_H_
#define FINETUNE_COMM_LAUNCH_H_

#include <functional>

#include "absl/status/statusor.h"

namespace finetune {

enum class Launch {
  kAlone,  // started by hand: one rank, MPI is not needed
  kMpi,    // by mpirun, or by srun with an MPI plug-in
};

// How this process was started, by the variables that launchers set. `get` is std::getenv or a
// test's own. Errors: FailedPrecondition for a task of several that srun started without an MPI
// plug-in: each would take itself for the only rank, and they would all write the same files.
absl::StatusOr<Launch> LaunchOf(const std::function<const char*(const char*)>& get);

}  // namespace finetune

#endif  // FINETUNE_COMM_LAUNCH_H_
