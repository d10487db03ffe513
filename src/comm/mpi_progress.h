#ifndef FINETUNE_COMM_MPI_PROGRESS_H_
#define FINETUNE_COMM_MPI_PROGRESS_H_

#include <mpi.h>

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace finetune {

// Waits for MPI's requests without burning the core that the model is computed on: MPI's own waits
// spin. Polls at full speed for a moment, since an answer usually comes soon, then with growing
// sleeps of up to a millisecond.
class MpiProgress {
 public:
  // `tick` is called between polls, often; its error ends the wait.
  explicit MpiProgress(std::function<absl::Status()> tick) : tick_(std::move(tick)) {}

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
  // Between two polls without an answer; `polls` counts them.
  absl::Status Pause(int polls);

  std::function<absl::Status()> tick_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_PROGRESS_H_
