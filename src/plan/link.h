#ifndef FINETUNE_PLAN_LINK_H_
#define FINETUNE_PLAN_LINK_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// What two ranks send each other through, both ways at once.
struct Link {
  std::string name;
  // One way.
  double bytes_per_second = 0;
  // From the call that sends a small message to the end of the one that receives it.
  double latency_s = 0;
};

// Reads "10Gbit", "10Gbit,50us", "infiniband-hdr" or "lab=25Gbit,8us". Bandwidths are in bit,
// Kbit, Mbit, Gbit, Tbit or B, KB, MB, GB, TB a second (powers of 1000), latencies in ns, us, ms or
// s. Errors: InvalidArgument with what was expected and the nearest name, not the flag.
absl::StatusOr<Link> ParseLink(absl::string_view text);

// "8,64,512": numbers of ranks, in ascending order without repeats. Errors: InvalidArgument.
absl::StatusOr<std::vector<int>> ParseRanks(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_PLAN_LINK_H_
