#ifndef FINETUNE_OBSERVE_WATCH_H_
#define FINETUNE_OBSERVE_WATCH_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "src/base/status_macros.h"
#include "src/observe/run_status.h"

namespace finetune {

// A run as another process sees it, which may be on another host.
struct WatchedRun {
  enum class Health {
    kAlive,
    // The run has not ended, but its status is older than StaleAfter().
    kStale,
    // The run has not ended, and its status is from the future by more than StaleAfter(). The
    // clocks of this host and the run's differ, so its age is not known.
    kOtherClock,
    // The run has not ended, but its process no longer exists. Can be seen only on the run's host.
    kGone,
    kEnded,  // status.state says how
  };

  RunStatus status;
  Health health = Health::kAlive;
  std::vector<double> losses;  // of the last training records, the oldest first; may be empty
};

// Returns the age beyond which the status of a run that has not ended is stale. A run updates its
// status every 10 seconds, or once an iteration if that takes longer. The result leaves time for
// more than this, because the first batch of a validation may take longer.
absl::Duration StaleAfter(const RunStatus& status);

// Reads the state of the run in `work_dir` from status.json and from the end of its newest .jsonl
// file. `now`: the time at which Health is judged. Errors: those of ReadRunStatus().
absl::StatusOr<WatchedRun> ReadWatchedRun(const std::string& work_dir, absl::Time now);

// The terminal on which a run is shown.
struct WatchScreen {
  int columns = 80;
  bool utf8 = true;  // whether the terminal shows UTF-8; if not, the curve of losses is left out
  absl::TimeZone zone = absl::LocalTimeZone();
};

// Returns a description of the run: state, progress, loss, learning rate, throughput, memory,
// validation, checkpoint and warnings. Each element is a line of at most `screen.columns`
// characters.
std::vector<std::string> DescribeRun(const WatchedRun& run, absl::Time now,
                                     const WatchScreen& screen);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_WATCH_H_
