#ifndef FINETUNE_PLAN_LINK_H_
#define FINETUNE_PLAN_LINK_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"

namespace finetune {

// The connection between two ranks. It has its full bandwidth in both directions at once.
struct Link {
  std::string name;
  // The bandwidth in one direction.
  double bytes_per_second = 0;
  // The time from the call that sends a small message to the end of the call that receives it.
  double latency_s = 0;
};

// Parses a link: a bandwidth ("10Gbit"), a bandwidth and a latency ("10Gbit,50us"), the name of a
// known link ("infiniband-hdr"), or either of the first two after a name for the output
// ("lab=25Gbit,8us"). Bandwidths are per second, in bit, Kbit, Mbit, Gbit, Tbit or B, KB, MB, GB,
// TB (powers of 1000); latencies are in ns, us, ms or s. Errors: InvalidArgument with what was
// expected and the nearest known name; the caller adds the flag's name.
absl::StatusOr<Link> ParseLink(absl::string_view text);

// Parses numbers of ranks such as "8,64,512". Returns them in ascending order without repeats.
// Errors: InvalidArgument.
absl::StatusOr<std::vector<int>> ParseRanks(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_PLAN_LINK_H_
