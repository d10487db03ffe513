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
  // Collective operations this rank has come to, and those that are over for it.
  int64_t entered = 0;
  int64_t finished = 0;
  // The last one it came to ("all-reduce").
  std::string operation;
  // Its activity between collectives ("epoch 2 iteration 40: loading data").
  std::string activity;
};

// Finds the ranks that the others wait for, from heartbeats. Knows no clock: the times are the
// caller's.
class StallDetector {
 public:
  struct Settings {
    absl::Duration warning;  // report a rank waited for so long
    absl::Duration timeout;  // give up
    absl::Duration silence;  // a rank not heard for so long does not run
  };

  struct Finding {
    // Over the timeout: the job must end.
    bool fatal = false;
    std::string message;
  };

  // hosts[r]: rank r's host. Every rank's heartbeats reach `center`, which reports on all of them;
  // the others hear only of `center` and report on it alone.
  StallDetector(Settings settings, std::vector<std::string> hosts, int rank, int center,
                absl::Time now);

  void Hear(int rank, Heartbeat heartbeat, absl::Time now);

  // Returns the warning that is due now, if any: a stall is reported after `warning`, then at
  // twice, four times, ... as long, and as fatal after `timeout`.
  std::optional<Finding> Check(absl::Time now);

 private:
  struct Watched {
    Heartbeat last;
    absl::Time heard;
    // When it fell behind the others, while it is.
    std::optional<absl::Time> behind_since;
  };

  // "rank 2 (host b)", and what is known of it.
  std::string Name(int rank) const;
  std::string Describe(const Watched& watched, absl::Time now) const;

  Settings settings_;
  std::vector<std::string> hosts_;
  // Reports on this rank alone; unset: on all.
  std::optional<int> subject_;
  std::map<int, Watched> watched_;
  // While all have come to operation stuck_at_ and not all have finished it.
  std::optional<absl::Time> stuck_since_;
  int64_t stuck_at_ = 0;
  absl::Duration next_report_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_WATCHDOG_STALL_DETECTOR_H_
