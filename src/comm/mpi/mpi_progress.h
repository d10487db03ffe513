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

// Waits for MPI's requests without burning the core that the model is computed on: MPI's own waits
// spin. Sleeps until a connection is ready, or, where that does not wake it, for growing times of
// up to a millisecond; polls for a moment first where nothing is computed meanwhile. Never yields:
// Linux keeps a thread that does waiting until all that computes has had its turn.
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
  // Messages have ended sleeps, and none has come during one without ending it.
  bool woken_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_PROGRESS_H_
