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

// Finds a rank that holds up the others, names it, and asks for the job's end when that takes too
// long. Every rank counts the collectives it has come to and those that are over. A thread of the
// communicator calls Tick(), which sends the counts as a heartbeat, reads the other ranks' and
// compares them (StallDetector).
class Watchdog {
 public:
  struct Settings {
    absl::Duration warning;  // warn of a rank waited for so long
    absl::Duration timeout;  // ask for the job's end
  };

  // hosts[r]: rank r's host. `now`: the caller's clock, which never jumps.
  Watchdog(Settings settings, int rank, const std::vector<std::string>& hosts,
           std::unique_ptr<HeartbeatTransport> transport, absl::Time now);

  // Tick() must be called at least as often as this.
  absl::Duration interval() const { return interval_; }

  // From any thread: this rank has come to a collective (`name` is static), and it is over.
  void CountEntered(const char* name);
  void CountFinished();
  // From any thread: what this rank is doing, for messages.
  void SetActivity(absl::string_view activity);
  // From any thread: has stalls told to `warn`; null: to stderr, as from the start. When it
  // returns, the earlier `warn` is not called any more.
  void SetWarn(std::function<void(absl::string_view)> warn);

  // Exchanges heartbeats when it is time, and warns of a stall. Returns the message of a stall that
  // has reached `timeout`: the caller must end the job. Always from the same thread; cheap where it
  // is not time yet. Errors: the transport's.
  absl::StatusOr<std::optional<std::string>> Tick(absl::Time now);

  // Ends all heartbeats. Tick() may not be called after it.
  void Stop() { transport_->Stop(); }

 private:
  Heartbeat OwnHeartbeat(int64_t entered);
  void Warn(const StallDetector::Finding& finding);

  const int rank_;
  const absl::Duration interval_;
  StallDetector detector_;
  const std::unique_ptr<HeartbeatTransport> transport_;
  absl::Time next_heartbeat_;
  // A rank that stops soon should have said where it was: news may go out between two heartbeats.
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
