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

// The parts of NCCL's start that need no GPU, and can be tested without one.

// The GPU of a rank: one each, by local rank. `devices`: GPUs that this process sees. Errors:
// FailedPrecondition with the count of both when a host has more ranks than GPUs.
absl::StatusOr<int> ChooseDevice(int local_rank, int local_size, int devices,
                                 absl::string_view host);

// The value of NCCL_ALGO that makes NCCL use `algorithm` for all-reduces; empty for NCCL's own
// choice. Broadcasts have the ring alone, so it is always allowed for the rest.
std::string NcclAlgorithmVariable(NcclConfig::Algorithm algorithm);

// The id that rank 0 makes, on every rank. Collective. An error of rank 0's is every rank's, with
// its name.
absl::StatusOr<std::string> ShareUniqueId(const std::function<absl::StatusOr<std::string>()>& make,
                                          Communicator& host);

// Waits while a call that may not block is still in progress. `code`: what it returned; `ask`: how
// it stands. Returns how it ended. Errors: DeadlineExceeded after `timeout`, with `what` and the
// field that says so.
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
