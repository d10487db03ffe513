#include "src/plan/simulate.h"

#include <algorithm>

namespace finetune {

StepTimeline Simulate(double compute_s, absl::Span<const Transfer> transfers,
                      const std::function<double(double bytes)>& seconds) {
  StepTimeline timeline;
  double free_s = 0;
  for (const Transfer& transfer : transfers) {
    const double takes = seconds(transfer.bytes);
    free_s = std::max(free_s, transfer.ready_s) + takes;
    timeline.comm_s += takes;
  }
  timeline.end_s = std::max(compute_s, free_s);
  timeline.exposed_s = timeline.end_s - compute_s;
  return timeline;
}

}  // namespace finetune
