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

// A rank's report on itself, sent about once a second.
struct Heartbeat {
  // The number of collectives that this rank has entered, and the number that it has finished.
  int64_t entered = 0;
  int64_t finished = 0;
  // The name of the last collective that this rank entered ("all-reduce").
  std::string operation;
  // Its activity between collectives ("epoch 2 iteration 40: loading data").
  std::string activity;
};

// Finds the ranks that others wait for, from their heartbeats. It does not read a clock: the caller
// gives the times.
class StallDetector {
 public:
  struct Settings {
    absl::Duration warning;  // report a rank that others have waited for so long
    absl::Duration timeout;  // give up after waiting so long
    absl::Duration silence;  // a rank not heard of for so long counts as not running
  };

  struct Finding {
    // The wait is over the timeout: the job must end.
    bool fatal = false;
    std::string message;
  };

  // hosts[r]: rank r's host. `center` receives every rank's heartbeats and reports on all ranks.
  // The other ranks hear only from `center` and report only on it.
  StallDetector(Settings settings, std::vector<std::string> hosts, int rank, int center,
                absl::Time now);

  void Hear(int rank, Heartbeat heartbeat, absl::Time now);

  // Returns the warning that is due now, if any. A stall is reported after `warning`, then after
  // twice, four times, ... as long, and as fatal after `timeout`.
  std::optional<Finding> Check(absl::Time now);

 private:
  struct Watched {
    Heartbeat last;
    absl::Time heard;
    // The time at which it fell behind the others; unset while it is not behind.
    std::optional<absl::Time> behind_since;
  };

  // Returns "rank 2 (host b)"; Describe() returns what is known of it.
  std::string Name(int rank) const;
  std::string Describe(const Watched& watched, absl::Time now) const;

  Settings settings_;
  std::vector<std::string> hosts_;
  // The only rank that this detector reports on; unset: it reports on all ranks.
  std::optional<int> subject_;
  std::map<int, Watched> watched_;
  // Set while all have come to operation stuck_at_ and not all have finished it.
  std::optional<absl::Time> stuck_since_;
  int64_t stuck_at_ = 0;
  absl::Duration next_report_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_WATCHDOG_STALL_DETECTOR_H_
