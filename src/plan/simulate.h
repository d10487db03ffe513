#ifndef FINETUNE_PLAN_SIMULATE_H_
#define FINETUNE_PLAN_SIMULATE_H_

#include <functional>

#include "absl/types/span.h"

namespace finetune {

// One all-reduce of a step.
struct Transfer {
  // When it can start, in seconds from the start of the step.
  double ready_s = 0;
  // On the wire.
  double bytes = 0;
};

// How one step unfolds, in seconds.
struct StepTimeline {
  // When the gradients are summed and the optimiser can start.
  double end_s = 0;
  // All transfers together.
  double comm_s = 0;
  // Of them, after the computation's end: what communication adds to the step.
  double exposed_s = 0;
};

// Runs transfers behind a computation of `compute_s` seconds: one at a time, in their order, each
// when it is ready. `seconds` is what a transfer of so many bytes takes. Computation and transfers
// do not slow each other. max(compute, comm) <= end_s <= compute + comm when all are ready by
// compute_s.
StepTimeline Simulate(double compute_s, absl::Span<const Transfer> transfers,
                      const std::function<double(double bytes)>& seconds);

}  // namespace finetune

#endif  // FINETUNE_PLAN_SIMULATE_H_
