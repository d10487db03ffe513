#ifndef FINETUNE_OBSERVE_WATCH_H_
#define FINETUNE_OBSERVE_WATCH_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "src/base/status_macros.h"
#include "src/observe/run_status.h"

namespace finetune {

// A run as seen by another process, maybe on another host.
struct WatchedRun {
  enum class Health {
    kAlive,
    // The run has not ended, and has not updated its status for longer than StaleAfter().
    kStale,
    // The run has not ended, and its process does not exist any more. Known only on the run's host.
    kGone,
    kEnded,  // the status has how
  };

  RunStatus status;
  Health health = Health::kAlive;
  std::vector<double> losses;  // of the last records, the oldest first; may be empty
};

// Returns the age beyond which the status of a run that has not ended is stale. A run updates it at
// least every 10 seconds or once an iteration, and the first validation batch may take longer.
absl::Duration StaleAfter(const RunStatus& status);

// Reads the run in `work_dir` from its status.json and the end of its last .jsonl file. Errors:
// those of ReadRunStatus().
absl::StatusOr<WatchedRun> ReadWatchedRun(const std::string& work_dir, absl::Time now);

struct WatchScreen {
  int columns = 80;
  bool utf8 = true;  // whether the terminal shows UTF-8; without it no curve is drawn
  absl::TimeZone zone = absl::LocalTimeZone();
};

// Returns the run as lines of text of at most `columns` characters: state, progress, loss, learning
// rate, throughput, memory, validation, checkpoint, warnings.
std::vector<std::string> DescribeRun(const WatchedRun& run, absl::Time now,
                                     const WatchScreen& screen);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_WATCH_H_
