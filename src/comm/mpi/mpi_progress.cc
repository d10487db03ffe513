#include "src/comm/mpi/mpi_progress.h"

#include <algorithm>

#include "absl/time/time.h"
#include "src/base/status_macros.h"
#include "src/comm/mpi/mpi_status.h"

namespace finetune {

absl::Status MpiProgress::Until(absl::FunctionRef<absl::StatusOr<bool>()> done) {
  // The number of polls before the first sleep. They take about as long as falling asleep and
  // waking up.
  constexpr int kEager = 100;
  // The number of polls between two sleeps. One is not enough: Open MPI tests the requests before
  // it reads the network, so a message that one poll reads completes its request only in the next
  // poll. A message may also be only one of several that a collective needs.
  constexpr int kBetweenSleeps = 3;
  constexpr absl::Duration kLongest = absl::Milliseconds(1);
  absl::Duration pause = absl::Microseconds(10);
  bool overslept = false;
  for (int polls = 1;; ++polls) {
    FT_ASSIGN_OR_RETURN(const bool over, done());
    if (over) {
      if (overslept) woken_ = false;
      return absl::OkStatus();
    }
    if (polls % kBetweenSleeps != 0 || (polls < kEager && hooks_.idle())) continue;
    FT_RETURN_IF_ERROR(hooks_.tick());
    overslept = !sleep_.Sleep(woken_ ? kLongest : pause);
    if (overslept) {
      pause = std::min(kLongest, 1.25 * pause);
    } else {
      woken_ = true;
    }
  }
}

absl::Status MpiProgress::WaitAll(absl::Span<MPI_Request> requests, absl::string_view what) {
  return Until([&]() -> absl::StatusOr<bool> {
    int done = 0;
    FT_RETURN_IF_ERROR(MpiStatus(
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
        what));
    return done != 0;
  });
}

absl::Status MpiProgress::WaitSome(absl::Span<MPI_Request> requests, absl::string_view what,
                                   std::vector<int>& done) {
  done.resize(requests.size());
  return Until([&]() -> absl::StatusOr<bool> {
    int count = 0;
    FT_RETURN_IF_ERROR(MpiStatus(MPI_Testsome(static_cast<int>(requests.size()), requests.data(),
                                              &count, done.data(), MPI_STATUSES_IGNORE),
                                 what));
    if (count == 0) return false;
    done.resize(count == MPI_UNDEFINED ? 0 : count);
    return true;
  });
}

}  // namespace finetune
