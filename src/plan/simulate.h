#ifndef FINETUNE_PLAN_SIMULATE_H_
#define FINETUNE_PLAN_SIMULATE_H_

#include <functional>

#include "absl/types/span.h"

namespace finetune {

// One all-reduce of a step.
struct Transfer {
  // The time at which it can start, in seconds from the start of the step.
  double ready_s = 0;
  // The bytes that are sent.
  double bytes = 0;
};

// The times of one step, in seconds.
struct StepTimeline {
  // The end of the sums, when the optimizer can start.
  double end_s = 0;
  // The sum of all transfers.
  double comm_s = 0;
  // The part of the transfers after the computation's end, which communication adds to the step.
  double exposed_s = 0;
};

// Simulates transfers beside a computation of `compute_s` seconds: one at a time, in their order,
// each when it is ready. `seconds` returns the time of a transfer of so many bytes. Computation and
// transfers do not slow each other. When all are ready by compute_s, max(compute, comm) <= end_s <=
// compute + comm.
StepTimeline Simulate(double compute_s, absl::Span<const Transfer> transfers,
                      const std::function<double(double bytes)>& seconds);

}  // namespace finetune

#endif  // FINETUNE_PLAN_SIMULATE_H_
