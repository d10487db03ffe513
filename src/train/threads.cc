#include "src/train/threads.h"

#include <sched.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace finetune {

absl::StatusOr<int> ThreadsForRank(int requested, Communicator* comm) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) CPU_SET(0, &mask);
  std::string key = absl::StrCat(comm->host(comm->rank()), ":");
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &mask)) absl::StrAppend(&key, cpu, ",");
  }
  FT_ASSIGN_OR_RETURN(std::vector<std::string> all, comm->AllGather(key));
  if (requested > 0) return requested;
  const auto sharing = std::count(all.begin(), all.end(), key);
  return std::max(1, static_cast<int>(CPU_COUNT(&mask) / sharing));
}

}  // namespace finetune
