#ifndef FINETUNE_PLAN_LINK_H_
#define FINETUNE_PLAN_LINK_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// The connection of two ranks. It carries both directions at once.
struct Link {
  std::string name;
  // In one direction.
  double bytes_per_second = 0;
  // From the call that sends a small message to the end of the call that receives it.
  double latency_s = 0;
};

// Parses "10Gbit", "10Gbit,50us", "infiniband-hdr" or "lab=25Gbit,8us". Bandwidths are in bit,
// Kbit, Mbit, Gbit, Tbit or B, KB, MB, GB, TB a second (powers of 1000), latencies in ns, us, ms or
// s. Errors: InvalidArgument with what was expected and the nearest name, but not the flag.
absl::StatusOr<Link> ParseLink(absl::string_view text);

// Parses "8,64,512": numbers of ranks, returned in ascending order without repeats. Errors:
// InvalidArgument.
absl::StatusOr<std::vector<int>> ParseRanks(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_PLAN_LINK_H_
