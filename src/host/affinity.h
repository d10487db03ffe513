#ifndef FINETUNE_HOST_AFFINITY_H_
#define FINETUNE_HOST_AFFINITY_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/host/launcher_process.h"

namespace finetune {

// Who decided which processors a rank may run on.
enum class Binding {
  kAskedFor,  // the user, a batch system or nobody: there is nothing to change
  // mpirun, unasked. Open MPI binds one or two ranks to a core each, and more to a socket each.
  kDefault,
  // A daemon of Open MPI 5 on another host than mpirun's, which does not know.
  kUnknown,
};

// The processors of a host as one of its ranks sees them.
struct HostCpus {
  // rank_cpus[i]: the logical processors that the host's i-th rank may run on.
  std::vector<std::vector<int>> rank_cpus;
  // The processors that the launcher itself may run on: the host, or a batch job's part of it.
  std::vector<int> launcher_cpus;
  Binding binding = Binding::kAskedFor;
  // core_of[cpu]: its core; hyperthreads share one. Processors beyond the end are cores of their
  // own.
  std::vector<int> core_of;
  // Processors' worth of time that a container may use, 0: no limit.
  double quota = 0;
};

// The threads and processors that a rank computes with.
struct CpuPlan {
  int threads = 1;
  // The logical processors to run on; empty: leave it to the system.
  std::vector<int> cpus;
  // A warning for the user, or empty.
  std::string note;
};

// Finds out whether this rank's binding is Open MPI's own. `get` is std::getenv or a test's own;
// `launcher` is FindLauncherProcess(). Open MPI 4 hands most of mpirun's options on to every rank
// as variables (OMPI_MCA_...). Open MPI 5 does not: they stand on prterun's command line alone.
Binding ReadBinding(const std::function<const char*(const char*)>& get,
                    const std::optional<LauncherProcess>& launcher);

// Divides a host's cores among its ranks, so that no two share one. A binding that was asked for
// (--bind-to, --map-by ...:PE=n, Slurm's) is kept; mpirun's default is not, since it would leave
// most cores idle. Ranks that may run on the same cores take equal, neighbouring parts. With more
// ranks than cores each has one thread and is not bound. `requested` threads, 0: one a core.
// Errors: InvalidArgument, "is 99, ...", for a negative `requested`, or one of very many a
// processor.
absl::StatusOr<CpuPlan> PlanCpus(const HostCpus& host, int index, int requested);

// Returns the processors that this rank may run on and who chose them, for all ranks' PlanCpus.
std::string DescribeBinding();

// The same for this rank, from its host's files. by_rank[r]: rank r's DescribeBinding(); hosts[r]:
// its host. A rank on mpirun's own host tells the others whether the binding was asked for.
absl::StatusOr<CpuPlan> PlanCpus(int requested, int rank, absl::Span<const std::string> by_rank,
                                 absl::Span<const std::string> hosts);

// Starts the program again, with `argv`, on all processors that mpirun may use, where Open MPI's
// default binding leaves this rank fewer than its share of the host; PlanCpus divides them.
// OpenMP's runtime needs it: it counts its processors when the program is loaded, and with more
// threads than it counted it puts threads to sleep wherever one waits for another, which costs more
// than the wait. Returns where there is nothing to do, or it cannot be done. Call it before
// MPI_Init and before there are other threads.
void RestartUnbound(char** argv);

// Has the calling thread, and those it starts from now on, run on `cpus` only; all others stay
// where they are.
absl::Status BindThread(const std::vector<int>& cpus);

// "0-3,8" as Linux writes lists of processors, to {0, 1, 2, 3, 8}. Errors: InvalidArgument.
absl::StatusOr<std::vector<int>> ParseCpuList(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_HOST_AFFINITY_H_
