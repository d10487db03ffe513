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
  // The user or a batch system asked for the binding, or there is no binding. Keep it.
  kAskedFor,
  // mpirun chose the binding by default. Open MPI binds each of one or two ranks to a core, and
  // each of more ranks to a socket.
  kDefault,
  // The rank runs on another host than mpirun and was started by a daemon of Open MPI 5, which does
  // not know the origin.
  kUnknown,
};

// The processors of one host and the ranks that run on it.
struct HostCpus {
  // rank_cpus[i]: the logical processors that the host's i-th rank may run on.
  std::vector<std::vector<int>> rank_cpus;
  // The processors that the launcher itself may run on: all of the host's, or those of the batch
  // job. Empty: not known.
  std::vector<int> launcher_cpus;
  Binding binding = Binding::kAskedFor;
  // core_of[cpu]: the core of a logical processor. Hyperthreads of one core have the same value. A
  // processor beyond the end of the vector is a core of its own.
  std::vector<int> core_of;
  // The CPU time that the container may use, as a number of processors; 0: no limit.
  double quota = 0;
};

// The number of threads that a rank computes with, and the processors that they run on.
struct CpuPlan {
  int threads = 1;
  // The logical processors to bind the threads to. Empty: do not bind them.
  std::vector<int> cpus;
  // A warning for the user, or empty.
  std::string note;
};

// Returns the origin of this rank's binding. `get` is std::getenv or a test's replacement;
// `launcher` is the result of FindLauncherProcess(). Open MPI 4 passes most options of mpirun to
// every rank as environment variables (OMPI_MCA_...). With Open MPI 5 the options stand only in
// prterun's command line and environment.
Binding ReadBinding(const std::function<const char*(const char*)>& get,
                    const std::optional<LauncherProcess>& launcher);

// Divides a host's cores among its ranks, so that no two ranks share a core, and returns the part
// of the host's rank `index`. A binding that the user or the batch system asked for (--bind-to,
// --map-by ...:PE=n, Slurm's) is kept. mpirun's default binding is not, since it would leave most
// cores idle. Ranks that may run on the same cores get equal, consecutive parts of them. With more
// ranks than cores, each rank gets one thread and is not bound to a core. `requested`: the number
// of threads; 0: one for each core. Errors: InvalidArgument, "is 99, ...", for a negative
// `requested` or for more than 16 threads for each processor.
absl::StatusOr<CpuPlan> PlanCpus(const HostCpus& host, int index, int requested);

// Returns, as text, the processors that this rank may run on and the origin of that binding. Every
// rank passes the texts of all ranks to PlanCpus() below.
std::string DescribeBinding();

// Calls the function above for this rank, with the processors that Linux reports for this host.
// `requested` is as above. by_rank[r]: rank r's DescribeBinding(). hosts[r]: rank r's host. Ranks
// on mpirun's own host know the origin of the binding, and the other ranks rely on theirs.
absl::StatusOr<CpuPlan> PlanCpus(int requested, int rank, absl::Span<const std::string> by_rank,
                                 absl::Span<const std::string> hosts);

// Starts the program again (execv, with `argv`) on all processors that mpirun may use, where Open
// MPI's default binding leaves this rank fewer than its share of the host. PlanCpus() later divides
// those processors among the ranks. The restart is necessary because OpenMP's runtime counts its
// processors when the program is loaded. With more threads than that, it makes each waiting thread
// sleep, which costs more than the wait. Returns where a restart is not needed or fails. Call it
// before MPI_Init and before other threads exist.
void RestartUnbound(char** argv);

// Makes the calling thread, and the threads that it starts later, run only on the logical
// processors `cpus`; empty: changes nothing. Other threads keep their processors.
absl::Status BindThread(const std::vector<int>& cpus);

// Parses a list of processors in Linux's format: "0-3,8" is {0, 1, 2, 3, 8}. Errors:
// InvalidArgument for any other text.
absl::StatusOr<std::vector<int>> ParseCpuList(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_HOST_AFFINITY_H_
