#include "src/comm/launch.h"

#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace finetune {

absl::StatusOr<Launch> LaunchOf(const std::function<const char*(const char*)>& get) {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (get(name) != nullptr) return Launch::kMpi;
  }
  // A batch script's own shell is a step as well, of one task: SLURM_STEP_NUM_TASKS tells them
  // apart.
  const char* tasks = get("SLURM_STEP_NUM_TASKS");
  int count = 0;
  if (tasks != nullptr && absl::SimpleAtoi(tasks, &count) && count > 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        "srun started ", count,
        " tasks without MPI: each would take itself for the only rank. Start them with `srun "
        "--mpi=pmix` or with mpirun"));
  }
  return Launch::kAlone;
}

}  // namespace finetune
