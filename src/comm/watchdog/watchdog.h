#ifndef FINETUNE_COMM_WATCHDOG_WATCHDOG_H_
#define FINETUNE_COMM_WATCHDOG_WATCHDOG_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/comm/watchdog/heartbeat_transport.h"
#include "src/comm/watchdog/stall_detector.h"

namespace finetune {

// Finds a rank that holds up the others, names it, and asks to end the job when the wait takes too
// long.
//
// Problem: a collective hangs on every rank when one rank has died, stopped or taken another path,
// and MPI does not tell which. Method: every rank counts the collectives that it has entered and
// finished. A thread of the communicator calls Tick(), which sends the counts and the rank's
// activity as a heartbeat, about once a second. Rank 0 receives all heartbeats and compares them
// (StallDetector): a rank with fewer entered collectives is late, and a rank without heartbeats
// does not run. The other ranks hear only from rank 0 and watch only it, so that the job also ends
// when rank 0 is gone.
//
// Invariants: counting takes no lock and no message. Tick() never blocks, because the transport
// drops a heartbeat that the receiver is not ready for. Tick() always runs on one thread; the
// counts and the activity may be set by any. Tests: watchdog_test over a transport in memory,
// stall_detector_test without one, mpi/failure_test under mpirun.
class Watchdog {
 public:
  struct Settings {
    absl::Duration warning;  // warn of a rank after waiting so long
    absl::Duration timeout;  // ask for the job's end
  };

  // hosts[r]: rank r's host. `now`: the caller's clock, which never jumps.
  Watchdog(Settings settings, int rank, const std::vector<std::string>& hosts,
           std::unique_ptr<HeartbeatTransport> transport, absl::Time now);

  // Tick() must be called at least this often.
  absl::Duration interval() const { return interval_; }

  // Count a collective that this rank has come to (`name` is static), and its end. Thread-safe.
  void CountEntered(const char* name);
  void CountFinished();
  // Sets this rank's activity for messages. Thread-safe.
  void SetActivity(absl::string_view activity);
  // Has stalls reported to `warn`; null: to stderr, as at the start. After it returns, the earlier
  // `warn` is no longer called. Thread-safe.
  void SetWarn(std::function<void(absl::string_view)> warn);

  // Exchanges heartbeats when they are due, and warns of a stall. Returns the message of a stall
  // that has reached `timeout`: the caller must end the job. Call it always from the same thread;
  // it is cheap where nothing is due. Errors: the transport's.
  absl::StatusOr<std::optional<std::string>> Tick(absl::Time now);

  // Cancels all heartbeats. Tick() may not be called after it.
  void Stop() { transport_->Stop(); }

 private:
  Heartbeat OwnHeartbeat(int64_t entered);
  void Warn(const StallDetector::Finding& finding);

  const int rank_;
  const absl::Duration interval_;
  StallDetector detector_;
  const std::unique_ptr<HeartbeatTransport> transport_;
  absl::Time next_heartbeat_;
  // The earliest time of the next extra heartbeat. A rank sends one soon after it enters a
  // collective, so that the others know where it was if it stops.
  absl::Time next_news_;
  // entered_ in the last heartbeat.
  int64_t sent_entered_ = 0;

  std::atomic<int64_t> entered_{0};
  std::atomic<int64_t> finished_{0};
  std::atomic<const char*> operation_{""};
  absl::Mutex activity_mutex_;
  std::string activity_ ABSL_GUARDED_BY(activity_mutex_);
  absl::Mutex warn_mutex_;
  std::function<void(absl::string_view)> warn_ ABSL_GUARDED_BY(warn_mutex_);
};

}  // namespace finetune

#endif  // FINETUNE_COMM_WATCHDOG_WATCHDOG_H_
