#ifndef FINETUNE_COMM_NCCL_STREAM_TIMELINE_H_
#define FINETUNE_COMM_NCCL_STREAM_TIMELINE_H_

#include "absl/time/time.h"

namespace finetune {

// The times at which the operations of a GPU's stream began and ended, on the host's clock. A GPU
// tells only how long one event came after another, in milliseconds of float32, which is too coarse
// over the length of a run. So each operation is placed after the one before it. The result is then
// corrected by two facts that the host knows: the operation did not begin before it was submitted,
// and did not end after it was seen to be over.
class StreamTimeline {
 public:
  struct Operation {
    absl::Time submitted;
    absl::Time seen_over;
    // From the end of the operation before (for the first one, from the anchor) to the beginning of
    // this one.
    float gap_ms = 0;
    // From its beginning to its end.
    float took_ms = 0;
  };
  struct Interval {
    absl::Time began;
    absl::Time ended;
  };

  // `anchor`: a time at which the stream was idle, marked by an event.
  explicit StreamTimeline(absl::Time anchor) : last_end_(anchor) {}

  // Returns the times of the stream's next operation. Operations come in the stream's order.
  Interval Add(const Operation& operation);

 private:
  absl::Time last_end_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_NCCL_STREAM_TIMELINE_H_
