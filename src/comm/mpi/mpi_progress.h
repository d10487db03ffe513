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

// Waits for MPI requests without keeping a core busy, which the model's computation needs.
// (MPI_Wait polls without a pause.) Each wait repeats two steps: it polls MPI a few times, then it
// sleeps until a TCP connection is ready (NetworkSleep). While this rank computes nothing, it first
// polls for a moment without sleeping. On shared memory and on networks that bypass the kernel a
// message does not end a sleep; there the sleeps are of growing length, from 10 microseconds to a
// millisecond. A wait never calls sched_yield: after it Linux runs every compute thread first, so
// the wait would starve.
class MpiProgress {
 public:
  // Create it after MPI_Init_thread. A wait calls `hooks` as wait_hooks.h describes.
  explicit MpiProgress(WaitHooks hooks) : hooks_(std::move(hooks)) {}

  // Returns when all `requests` are complete. `what`: the operation's name for errors.
  absl::Status WaitAll(absl::Span<MPI_Request> requests, absl::string_view what);
  absl::Status Wait(MPI_Request& request, absl::string_view what) {
    return WaitAll(absl::MakeSpan(&request, 1), what);
  }

  // Returns when at least one of `requests` is complete. Sets `done` to the indices of the complete
  // requests, which become MPI_REQUEST_NULL. Where all are MPI_REQUEST_NULL already, it returns at
  // once with an empty `done`.
  absl::Status WaitSome(absl::Span<MPI_Request> requests, absl::string_view what,
                        std::vector<int>& done);

 private:
  // Polls and sleeps until `done` returns true or an error.
  absl::Status Until(absl::FunctionRef<absl::StatusOr<bool>()> done);

  const WaitHooks hooks_;
  NetworkSleep sleep_;
  // Whether arriving messages seem to end sleeps, so that sleeps may be long: set when one has, and
  // cleared when a request completed after a sleep that no message had ended.
  bool woken_ = false;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_PROGRESS_H_
