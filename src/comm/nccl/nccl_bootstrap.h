#ifndef FINETUNE_COMM_NCCL_NCCL_BOOTSTRAP_H_
#define FINETUNE_COMM_NCCL_NCCL_BOOTSTRAP_H_

#include <functional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/comm/communicator.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// The parts of NCCL's start that need no GPU and are tested without one.

// Returns the GPU of a rank: one each, by local rank. `devices`: the GPUs that this process sees.
// Errors: FailedPrecondition with both counts when a host has more ranks than GPUs.
absl::StatusOr<int> ChooseDevice(int local_rank, int local_size, int devices,
                                 absl::string_view host);

// Returns the value of NCCL_ALGO that makes NCCL use `algorithm` for all-reduces; "" for NCCL's own
// choice. The ring is always allowed for the other collectives, since broadcasts have no other
// algorithm.
std::string NcclAlgorithmVariable(NcclConfig::Algorithm algorithm);

// Returns, on every rank, the id that rank 0 makes. Collective. An error of rank 0 is returned on
// every rank, with rank 0's name.
absl::StatusOr<std::string> ShareUniqueId(const std::function<absl::StatusOr<std::string>()>& make,
                                          Communicator& host);

// Waits while a nonblocking call is in progress and returns its result. `code`: the call's return
// value; `ask`: returns the state now. Errors: DeadlineExceeded after `timeout`, with `what` and
// the config's field for the timeout.
template <typename Result>
absl::StatusOr<Result> AwaitResult(Result code, Result in_progress, absl::FunctionRef<Result()> ask,
                                   absl::Duration timeout, absl::string_view what) {
  const absl::Time deadline = absl::Now() + timeout;
  while (code == in_progress) {
    code = ask();
    if (code != in_progress) break;
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          what, " has not ended for ", absl::FormatDuration(timeout), " (comm.timeout_seconds)"));
    }
    absl::SleepFor(absl::Microseconds(50));
  }
  return code;
}

}  // namespace finetune

#endif  // FINETUNE_COMM_NCCL_NCCL_BOOTSTRAP_H_
