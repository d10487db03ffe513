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
// spin. Where this rank computes nothing meanwhile, a wait first polls for a moment. Then it sleeps
// until a connection is ready (NetworkSleep). Where messages do not end a sleep (shared memory,
// networks that bypass the kernel), it sleeps for growing times of up to a millisecond. It never
// calls sched_yield: after that Linux runs every compute thread first, and the wait would starve.
class MpiProgress {
 public:
  // Create it after MPI's start.
  explicit MpiProgress(WaitHooks hooks) : hooks_(std::move(hooks)) {}

  // Returns when all of `requests` are done. `what` names the operation in errors.
  absl::Status WaitAll(absl::Span<MPI_Request> requests, absl::string_view what);
  absl::Status Wait(MPI_Request& request, absl::string_view what) {
    return WaitAll(absl::MakeSpan(&request, 1), what);
  }

  // Returns when at least one of `requests` is done. `done` gets the indices of the finished
  // requests, which become MPI_REQUEST_NULL. At least one must be active.
  absl::Status WaitSome(absl::Span<MPI_Request> requests, absl::string_view what,
                        std::vector<int>& done);

 private:
  absl::Status Until(absl::FunctionRef<absl::StatusOr<bool>()> done);

  const WaitHooks hooks_;
  NetworkSleep sleep_;
  // Whether messages end sleeps here: so far at least one has, and no message arrived during a
  // sleep without ending it.
  bool woken_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_PROGRESS_H_
