#include "src/comm/nccl/stream_timeline.h"

#include <algorithm>

namespace finetune {

StreamTimeline::Interval StreamTimeline::Add(const Operation& operation) {
  const absl::Duration took = absl::Milliseconds(operation.took_ms);
  absl::Time began = last_end_ + absl::Milliseconds(operation.gap_ms);
  began = std::min(began, operation.seen_over - took);
  began = std::max(began, operation.submitted);
  last_end_ = began + took;
  return {began, last_end_};
}

}  // namespace finetune
