#ifndef FINETUNE_COMM_NCCL_STREAM_TIMELINE_H_
#define FINETUNE_COMM_NCCL_STREAM_TIMELINE_H_

#include "absl/time/time.h"

namespace finetune {

// Computes when the operations of a CUDA stream began and ended, as times of the CPU's clock. CUDA
// tells only the time between two events, as float32 milliseconds, which is too coarse for a time
// since the start of a run. So the beginning of each operation is computed from the end of the
// previous one. This estimate is then corrected by two facts that the CPU knows: the operation did
// not begin before it was submitted, and did not end after the CPU saw that it had ended.
class StreamTimeline {
 public:
  struct Operation {
    // When the CPU submitted the operation, and when the CPU saw that it had ended.
    absl::Time submitted;
    absl::Time seen_over;
    // The time from the end of the previous operation (for the first operation, from the anchor) to
    // the beginning of this one, in milliseconds.
    float gap_ms = 0;
    // The duration of this operation in milliseconds.
    float took_ms = 0;
  };
  struct Interval {
    absl::Time began;
    absl::Time ended;
  };

  // `anchor`: the time of the event from which the first operation's gap_ms is measured.
  explicit StreamTimeline(absl::Time anchor) : last_end_(anchor) {}

  // Returns when `operation` began and ended. Call it for every operation of the stream, in the
  // stream's order.
  Interval Add(const Operation& operation);

 private:
  absl::Time last_end_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_NCCL_STREAM_TIMELINE_H_
