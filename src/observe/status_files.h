#ifndef FINETUNE_OBSERVE_STATUS_FILES_H_
#define FINETUNE_OBSERVE_STATUS_FILES_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "src/observe/run_status.h"

namespace finetune {

// Writes WORK_DIR/status.json and WORK_DIR/metrics.prom, from which other programs read the state
// of a run. A reader always finds a complete file. Files are written without fsync, so that
// training does not wait for a disk.
class StatusFiles {
 public:
  // The least time between two writes that only report progress.
  static constexpr absl::Duration kPause = absl::Seconds(1);
  // Files that are this old are written again even without a new record, so that a reader can tell
  // a slow run from a dead one.
  static constexpr absl::Duration kHeartbeat = absl::Seconds(10);

  explicit StatusFiles(const std::string& work_dir);

  // Returns whether the last Write() was at least `pause` before `now`, or whether there was none.
  // Also returns true if the last Write() is after `now`, because the clock was set back.
  bool IsDue(absl::Time now, absl::Duration pause) const {
    return now - last_ >= pause || now < last_;
  }

  // Writes both files. Sets updated_unix_s to `now`. Errors: those of AtomicFile.
  absl::Status Write(RunStatus status, absl::Time now);

 private:
  const std::string work_dir_;  // absolute, because metrics.prom names it
  absl::Time last_ = absl::InfinitePast();
};

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_STATUS_FILES_H_
