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

// The steps of NcclCommunicator's start that need no GPU, so that they can be tested without one.

// Returns the number of the GPU that a rank uses, which is its local rank. `local_size`: the number
// of ranks on the host. `devices`: the number of GPUs that this process sees. `host`: the host's
// name for the error. Errors: FailedPrecondition with both counts when the host has more ranks than
// GPUs.
absl::StatusOr<int> ChooseDevice(int local_rank, int local_size, int devices,
                                 absl::string_view host);

// Returns the value of the environment variable NCCL_ALGO that makes NCCL use `algorithm` for
// all-reduces; "" for NCCL_CHOICE, where the variable is not to be set. TREE applies to all-reduces
// only and leaves the ring for the other collectives, because NCCL broadcasts only in a ring.
std::string NcclAlgorithmVariable(NcclConfig::Algorithm algorithm);

// Calls `make` on rank 0 and returns the id that it made on every rank. `host`: the communicator
// that sends it. Collective. Errors: Unavailable on every rank, naming rank 0 and its host, when
// `make` fails.
absl::StatusOr<std::string> ShareUniqueId(const std::function<absl::StatusOr<std::string>()>& make,
                                          Communicator& host);

// Waits until a nonblocking NCCL call has ended and returns its result. `code`: the value that the
// call returned. `in_progress`: the value that means that the call still runs. `ask`: returns the
// call's state now. Errors: DeadlineExceeded after `timeout`, naming the call (`what`) and
// comm.timeout_seconds.
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
