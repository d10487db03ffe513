#ifndef FINETUNE_COMM_AFFINITY_H_
#define FINETUNE_COMM_AFFINITY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/comm/communicator.h"

namespace finetune {

// The processors of a host as one of its ranks sees them.
struct HostCpus {
  // rank_cpus[i]: the logical processors that the host's i-th rank may run on.
  std::vector<std::vector<int>> rank_cpus;
  // What the launcher itself may run on: the host, or a batch job's part of it.
  std::vector<int> launcher_cpus;
  // mpirun bound the ranks, and nobody had asked it to: it binds up to two ranks to a core each,
  // more to a socket each.
  bool bound_by_default = false;
  // core_of[cpu]: its core; hyperthreads share one. Processors beyond the end are cores of their
  // own.
  std::vector<int> core_of;
  // Processors' worth of time that a container may use, 0: no limit.
  double quota = 0;
};

// Where a rank computes.
struct CpuPlan {
  int threads = 1;
  // The logical processors to run on; empty: leave it to the system.
  std::vector<int> cpus;
  // What the user should know, or empty.
  std::string note;
};

// Divides a host's cores among its ranks, so that no two share one. A binding that was asked for
// (--bind-to,
// --map-by ...:PE=n, Slurm's) is kept; mpirun's default is not, since it would leave most cores
// idle. Ranks that may run on the same cores take equal, neighbouring parts. With more ranks than
// cores each has one thread and is not bound. `requested` threads, 0: one a core. Errors:
// InvalidArgument for a negative `requested`, or one of very many a processor.
absl::StatusOr<CpuPlan> PlanCpus(const HostCpus& host, int index, int requested);

// The same for this rank, of what its host says. Collective.
absl::StatusOr<CpuPlan> PlanCpus(int requested, Communicator& comm);

// OpenMP's runtime counts its processors when the program is loaded, and with more threads than it
// counted then has them sleep wherever one waits for another, which costs more than the wait. Under
// mpirun's default binding, to a core, it counts one. Where that leaves a rank fewer than its share
// of the host, this starts the program again, with `argv`, on all that mpirun may use; PlanCpus
// divides them. Returns where there is nothing to do, or it cannot be done. Before MPI_Init, and
// before there are other threads.
void RestartUnbound(char** argv);

// Has the calling thread, and those it starts from now on, run on `cpus` only; all others stay
// where they are.
absl::Status BindThread(const std::vector<int>& cpus);

// "0-3,8" as Linux writes lists of processors, to {0, 1, 2, 3, 8}. Errors: InvalidArgument.
absl::StatusOr<std::vector<int>> ParseCpuList(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_COMM_AFFINITY_H_
