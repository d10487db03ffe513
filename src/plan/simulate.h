#ifndef FINETUNE_PLAN_SIMULATE_H_
#define FINETUNE_PLAN_SIMULATE_H_

#include <functional>

#include "absl/types/span.h"

namespace finetune {

// One all-reduce of a step.
struct Transfer {
  // The time at which the transfer can start, in seconds from the start of the step.
  double ready_s = 0;
  // The size of the tensor that is all-reduced, in bytes.
  double bytes = 0;
};

// The times of one step, in seconds.
struct StepTimeline {
  // The end of both the computation and all transfers, when the optimizer can start.
  double end_s = 0;
  // The sum of the durations of all transfers.
  double comm_s = 0;
  // The time that communication adds to the step: from the end of the computation to end_s.
  double exposed_s = 0;
};

// Simulates transfers that run at the same time as a computation of `compute_s` seconds. Transfers
// run one at a time, in the order given, each as soon as it is ready and the previous one has
// ended. `seconds` returns the time that a transfer of `bytes` takes. Computation and transfers do
// not slow each other down. If all transfers are ready by compute_s, then max(compute_s, comm_s) <=
// end_s <= compute_s + comm_s.
StepTimeline Simulate(double compute_s, absl::Span<const Transfer> transfers,
                      const std::function<double(double bytes)>& seconds);

}  // namespace finetune

#endif  // FINETUNE_PLAN_SIMULATE_H_
