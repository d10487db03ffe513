#ifndef FINETUNE_OBSERVE_STATUS_FILES_H_
#define FINETUNE_OBSERVE_STATUS_FILES_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "src/observe/run_status.h"

namespace finetune {

// WORK_DIR/status.json and WORK_DIR/metrics.prom, which tell others the state of a run. Each
// appears whole or not at all. They are replaced without waiting for a disk, so that training does
// not wait.
class StatusFiles {
 public:
  // The least time between two writes of ordinary records.
  static constexpr absl::Duration kPause = absl::Seconds(1);
  // Between two records, files of this age are written again, so that a reader can tell a slow run
  // from a dead one.
  static constexpr absl::Duration kHeartbeat = absl::Seconds(10);

  explicit StatusFiles(const std::string& work_dir);

  // Returns whether the last Write() was at least `pause` before `now`, or there was none. A clock
  // that was set back does not stop the writes.
  bool IsDue(absl::Time now, absl::Duration pause) const {
    return now - last_ >= pause || now < last_;
  }

  // Writes both files with `now` as the time of the update. Errors: those of AtomicFile.
  absl::Status Write(RunStatus status, absl::Time now);

 private:
  const std::string work_dir_;  // absolute, because metrics.prom names it
  absl::Time last_ = absl::InfinitePast();
};

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_STATUS_FILES_H_
