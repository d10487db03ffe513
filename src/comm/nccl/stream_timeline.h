#ifndef FINETUNE_COMM_NCCL_STREAM_TIMELINE_H_
#define FINETUNE_COMM_NCCL_STREAM_TIMELINE_H_

#include "absl/time/time.h"

namespace finetune {

// When the operations of a GPU's stream began and ended, in the host's time. A GPU only tells how
// long one event came after another, in milliseconds of float32: too coarse over the length of a
// run. So each operation is placed behind the one before it, and put right by what the host knows:
// that it did not begin before it was submitted, nor end after it was seen to be over.
class StreamTimeline {
 public:
  struct Operation {
    absl::Time submitted;
    absl::Time seen_over;
    // From the end of the operation before, of the first from the anchor, to the beginning of this.
    float gap_ms = 0;
    // From its beginning to its end.
    float took_ms = 0;
  };
  struct Interval {
    absl::Time began;
    absl::Time ended;
  };

  // `anchor`: a time at which the stream had nothing to do, marked by an event.
  explicit StreamTimeline(absl::Time anchor) : last_end_(anchor) {}

  // Returns the times of the stream's next operation. Operations come in the stream's order.
  Interval Add(const Operation& operation);

 private:
  absl::Time last_end_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_NCCL_STREAM_TIMELINE_H_
