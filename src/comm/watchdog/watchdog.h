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

// Finds a rank that the other ranks wait for, reports its name and activity, and asks the caller to
// end the job when the wait has lasted too long.
//
// Problem: a collective hangs on every rank when one rank has died, has been stopped or does not
// call the collective, and MPI does not tell which rank that is.
//
// Method: every rank counts the collectives that it has entered and finished. A thread of the
// communicator calls Tick(), which about once a second sends the counts and the rank's activity as
// a heartbeat. Rank 0 receives the heartbeats of all ranks and compares them (StallDetector): a
// rank that has entered fewer collectives than others is late, and a rank without heartbeats is not
// running. The other ranks receive only rank 0's heartbeats and watch only rank 0, so that the job
// also ends when rank 0 has died.
//
// Invariants: counting takes no lock and sends no message. Tick() never blocks, because the
// transport drops a heartbeat for a rank that has not yet received the previous one. Tick() is
// always called on the same thread. CountEntered(), CountFinished() and SetActivity() may be called
// on any.
//
// Tests: watchdog_test uses a transport in memory, stall_detector_test gives heartbeats directly,
// and mpi/failure_test runs under mpirun.
class Watchdog {
 public:
  struct Settings {
    absl::Duration warning;  // warn of a wait that has lasted this long
    absl::Duration timeout;  // ask to end the job when a wait has lasted this long
  };

  // `rank`: this rank. hosts[r]: rank r's host. `now`: the current time of a clock that never
  // jumps; Tick() must be given times of the same clock.
  Watchdog(Settings settings, int rank, const std::vector<std::string>& hosts,
           std::unique_ptr<HeartbeatTransport> transport, absl::Time now);

  // Returns the time between two heartbeats. Tick() must be called at least this often.
  absl::Duration interval() const { return interval_; }

  // CountEntered() counts a collective that this rank has entered; `name` must be a string literal.
  // CountFinished() counts a collective that has ended on this rank. Thread-safe.
  void CountEntered(const char* name);
  void CountFinished();
  // Sets the text that says what this rank is doing, for heartbeats and reports. Thread-safe.
  void SetActivity(absl::string_view activity);
  // Makes Tick() report stalls by calling `warn`. If `warn` is null or SetWarn() was never called,
  // Tick() prints them to stderr. When SetWarn() returns, the earlier `warn` is no longer called.
  // Thread-safe.
  void SetWarn(std::function<void(absl::string_view)> warn);

  // Sends and receives heartbeats when they are due, and reports stalls. Returns nullopt, or the
  // message of a stall that has lasted for Settings::timeout; then the caller must end the job.
  // Call it always on the same thread. It is cheap while no heartbeat is due. Errors: the
  // transport's.
  absl::StatusOr<std::optional<std::string>> Tick(absl::Time now);

  // Cancels the heartbeats that are on their way. Tick() must not be called afterwards.
  void Stop() { transport_->Stop(); }

 private:
  Heartbeat OwnHeartbeat(int64_t entered);
  void Warn(const StallDetector::Finding& finding);

  const int rank_;
  const absl::Duration interval_;
  StallDetector detector_;
  const std::unique_ptr<HeartbeatTransport> transport_;
  absl::Time next_heartbeat_;
  // The earliest time of the next heartbeat. A rank that has entered a collective sends a heartbeat
  // then and does not wait for next_heartbeat_, so that rank 0 knows where the rank was if it
  // stops.
  absl::Time next_news_;
  // The value of entered_ in the last heartbeat that this rank sent.
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
