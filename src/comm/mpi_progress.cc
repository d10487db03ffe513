#include "src/comm/mpi_progress.h"

#include <sched.h>
#include <time.h>

#include <algorithm>

#include "src/base/status_macros.h"
#include "src/comm/mpi_status.h"

namespace finetune {

absl::Status MpiProgress::Pause(int polls) {
  constexpr int kEager = 100;
  if (polls < kEager) {
    sched_yield();
    return absl::OkStatus();
  }
  FT_RETURN_IF_ERROR(tick_());
  timespec pause{0, std::min<long>(1'000'000, 10'000L * (1 + (polls - kEager) / 16))};
  nanosleep(&pause, nullptr);
  return absl::OkStatus();
}

absl::Status MpiProgress::WaitAll(absl::Span<MPI_Request> requests, absl::string_view what) {
  for (int polls = 0;; ++polls) {
    int done = 0;
    FT_RETURN_IF_ERROR(MpiStatus(
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, MPI_STATUSES_IGNORE),
        what));
    if (done != 0) return absl::OkStatus();
    FT_RETURN_IF_ERROR(Pause(polls));
  }
}

absl::Status MpiProgress::WaitSome(absl::Span<MPI_Request> requests, absl::string_view what,
                                   std::vector<int>& done) {
  done.resize(requests.size());
  for (int polls = 0;; ++polls) {
    int count = 0;
    FT_RETURN_IF_ERROR(MpiStatus(MPI_Testsome(static_cast<int>(requests.size()), requests.data(),
                                              &count, done.data(), MPI_STATUSES_IGNORE),
                                 what));
    if (count != 0) {
      done.resize(count == MPI_UNDEFINED ? 0 : count);
      return absl::OkStatus();
    }
    FT_RETURN_IF_ERROR(Pause(polls));
  }
}

}  // namespace finetune
