#ifndef FINETUNE_COMM_MPI_MPI_PROGRESS_H_
#define FINETUNE_COMM_MPI_MPI_PROGRESS_H_

#include <mpi.h>

#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "src/comm/mpi/network_sleep.h"
#include "src/comm/mpi/wait_hooks.h"

namespace finetune {

// Waits for MPI's requests without using the core that the model is computed on; MPI's own waits
// spin. A wait polls for a moment where this rank computes nothing meanwhile, then sleeps until a
// connection is ready (NetworkSleep). Where messages wake no sleep (shared memory, networks that
// bypass the kernel) it sleeps for growing times of up to a millisecond. It never calls
// sched_yield: after that Linux runs every compute thread first, and the wait would starve.
class MpiProgress {
 public:
  // After MPI's start.
  explicit MpiProgress(WaitHooks hooks) : hooks_(std::move(hooks)) {}

  // Returns when all of `requests` are done. `what` goes into errors.
  absl::Status WaitAll(absl::Span<MPI_Request> requests, absl::string_view what);
  absl::Status Wait(MPI_Request& request, absl::string_view what) {
    return WaitAll(absl::MakeSpan(&request, 1), what);
  }

  // Waits until at least one of `requests` is done; `done` gets the places of those that are, and
  // they become MPI_REQUEST_NULL. At least one must be active.
  absl::Status WaitSome(absl::Span<MPI_Request> requests, absl::string_view what,
                        std::vector<int>& done);

 private:
  absl::Status Until(absl::FunctionRef<absl::StatusOr<bool>()> done);

  const WaitHooks hooks_;
  NetworkSleep sleep_;
  // Every message that arrived during a sleep has ended it, and at least one has.
  bool woken_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_PROGRESS_H_
