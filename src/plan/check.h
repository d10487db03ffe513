#ifndef FINETUNE_PLAN_CHECK_H_
#define FINETUNE_PLAN_CHECK_H_

#include <cstdint>
#include <string>

#include "src/base/status_macros.h"
#include "src/config/config.h"
#include "src/plan/host_memory.h"

namespace finetune {

// The ranks and hosts of the job that a check is for.
struct CheckedJob {
  int ranks = 1;
  int ranks_per_host = 8;
  // The bytes of memory of each host of the job. 0: unknown; those of this host are taken.
  int64_t host_memory = 0;
  // The bytes of memory of each GPU of the job. 0: unknown; it is not checked.
  int64_t gpu_memory = 0;
};

// Checks a config before a job is queued: everything that a run would check at its start (see
// CheckStart()), and whether the ranks of a host fit into its memory, or a rank into the memory of
// its GPU. Returns notes and warnings to print. Errors: those of CheckStart(); InvalidArgument
// about the batch size where ranks do not fit, and for memory of a device that the config does not
// use.
absl::StatusOr<std::string> CheckRun(const LoadedConfig& loaded, const CheckedJob& job);

// Checks that the ranks of a host fit under a limit on its memory. Errors: as for CheckRun().
absl::Status CheckFits(const LoadedConfig& loaded, const HostNeed& need, const MemoryLimit& limit);

}  // namespace finetune

#endif  // FINETUNE_PLAN_CHECK_H_
