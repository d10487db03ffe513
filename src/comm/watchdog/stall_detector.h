#ifndef FINETUNE_COMM_WATCHDOG_STALL_DETECTOR_H_
#define FINETUNE_COMM_WATCHDOG_STALL_DETECTOR_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace finetune {

// The report that a rank sends on itself about once a second.
struct Heartbeat {
  // The number of collectives that this rank has entered since the start, and the number of those
  // that have ended on this rank.
  int64_t entered = 0;
  int64_t finished = 0;
  // The name of the last collective that this rank entered ("all-reduce").
  std::string operation;
  // A text on the rank's present work ("epoch 2 iteration 40: loading data").
  std::string activity;
};

// Finds the ranks that the other ranks wait for, by comparing the heartbeats of all ranks. It reads
// no clock: the caller passes the current time as `now`.
class StallDetector {
 public:
  struct Settings {
    absl::Duration warning;  // report a wait that has lasted this long
    absl::Duration timeout;  // report it as fatal when it has lasted this long
    absl::Duration silence;  // a rank without a heartbeat for this long counts as not running
  };

  struct Finding {
    // Whether the wait has lasted for Settings::timeout, so that the job must end.
    bool fatal = false;
    std::string message;
  };

  // `rank`: the rank that this detector runs on. hosts[r]: rank r's host. `center` is the rank that
  // receives the heartbeats of all ranks; its detector reports on all ranks. The detectors of the
  // other ranks receive only the heartbeats of `center` and report only on `center`.
  StallDetector(Settings settings, std::vector<std::string> hosts, int rank, int center,
                absl::Time now);

  void Hear(int rank, Heartbeat heartbeat, absl::Time now);

  // Returns the report on a stall that is due now, or nullopt. A stall is reported when it has
  // lasted `warning`, then 2 * `warning`, 4 * `warning` and so on. From `timeout` on the report is
  // fatal.
  std::optional<Finding> Check(absl::Time now);

 private:
  struct Watched {
    Heartbeat last;
    absl::Time heard;
    // The time since which this rank has entered fewer collectives than some other rank, without
    // entering a new one; unset while it has entered as many as any.
    std::optional<absl::Time> behind_since;
  };

  // Name() returns "rank 2 (host b)". Describe() returns the rank's activity, and how long it has
  // been silent where it counts as not running.
  std::string Name(int rank) const;
  std::string Describe(const Watched& watched, absl::Time now) const;

  Settings settings_;
  std::vector<std::string> hosts_;
  // The only rank that this detector reports on. Unset on the center, which reports on all ranks.
  std::optional<int> subject_;
  std::map<int, Watched> watched_;
  // stuck_since_ is set while every rank has entered a collective that not every rank has finished.
  // stuck_at_ is the number of collectives that every rank has finished.
  std::optional<absl::Time> stuck_since_;
  int64_t stuck_at_ = 0;
  // The length of the current stall at which the next report is due.
  absl::Duration next_report_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_WATCHDOG_STALL_DETECTOR_H_
