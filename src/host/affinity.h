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

// The origin of a rank's binding to processors.
enum class Binding {
  kAskedFor,  // the user or a batch system asked for it, or there is none: keep it
  // mpirun chose it without being asked. Open MPI binds one or two ranks to a core each, and more
  // ranks to a socket each.
  kDefault,
  // A daemon of Open MPI 5 started this rank on another host than mpirun's. The daemon does not
  // know the origin.
  kUnknown,
};

// The processors of a host as one of its ranks sees them.
struct HostCpus {
  // rank_cpus[i]: the logical processors that the host's i-th rank may run on.
  std::vector<std::vector<int>> rank_cpus;
  // The processors that the launcher itself may run on: the host, or a batch job's part of it.
  std::vector<int> launcher_cpus;
  Binding binding = Binding::kAskedFor;
  // core_of[cpu]: the core of a logical processor; hyperthreads share one. A processor beyond the
  // end is a core of its own.
  std::vector<int> core_of;
  // The processors' worth of time that a container may use; 0: not limited.
  double quota = 0;
};

// The threads and processors that a rank computes with.
struct CpuPlan {
  int threads = 1;
  // The logical processors to run on. Empty: the system chooses.
  std::vector<int> cpus;
  // A warning for the user, or empty.
  std::string note;
};

// Returns whether this rank's binding is Open MPI's own choice. `get` is std::getenv or a test's
// replacement; `launcher` is FindLauncherProcess(). Open MPI 4 hands most options of mpirun on to
// every rank as variables (OMPI_MCA_...). Open MPI 5 does not: they stand only on prterun's command
// line.
Binding ReadBinding(const std::function<const char*(const char*)>& get,
                    const std::optional<LauncherProcess>& launcher);

// Divides a host's cores among its ranks, so that no two share one. A binding that was asked for
// (--bind-to, --map-by ...:PE=n, Slurm's) is kept; mpirun's default is not, since it would leave
// most cores idle. Ranks that may run on the same cores take equal, neighbouring parts. With more
// ranks than cores each has one thread and is not bound. `requested` threads, 0: one a core.
// Errors: InvalidArgument, "is 99, ...", for a negative `requested`, or one of very many a
// processor.
absl::StatusOr<CpuPlan> PlanCpus(const HostCpus& host, int index, int requested);

// Returns the processors that this rank may run on and the origin of that binding, as input of all
// ranks' PlanCpus().
std::string DescribeBinding();

// The same for this rank, from the files of its host. by_rank[r]: rank r's DescribeBinding();
// hosts[r]: rank r's host. A rank on mpirun's own host tells the others whether the binding was
// asked for.
absl::StatusOr<CpuPlan> PlanCpus(int requested, int rank, absl::Span<const std::string> by_rank,
                                 absl::Span<const std::string> hosts);

// Starts the program again, with `argv`, on all processors that mpirun may use, where Open MPI's
// default binding leaves this rank fewer than its share of the host. PlanCpus() then divides them.
// OpenMP's runtime makes this necessary: it counts its processors when the program is loaded, and
// with more threads than it counted it lets threads sleep wherever one waits for another, which
// costs more than the wait. Returns where a restart is not needed or fails. Call it before MPI_Init
// and before other threads exist.
void RestartUnbound(char** argv);

// Makes the calling thread, and the threads that it starts later, run only on `cpus`. Other threads
// stay where they are.
absl::Status BindThread(const std::vector<int>& cpus);

// Parses Linux's list of processors: "0-3,8" is {0, 1, 2, 3, 8}. Errors: InvalidArgument.
absl::StatusOr<std::vector<int>> ParseCpuList(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_HOST_AFFINITY_H_
