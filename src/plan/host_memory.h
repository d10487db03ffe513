#ifndef FINETUNE_PLAN_HOST_MEMORY_H_
#define FINETUNE_PLAN_HOST_MEMORY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "src/host/memory.h"

namespace finetune {

// The memory that the ranks of one host need while they train.
struct HostNeed {
  int ranks = 1;          // on the host
  double rank_bytes = 0;  // of each rank
  int64_t pass = 0;       // images of the largest pass of a rank

  double bytes() const { return ranks * rank_bytes; }
};

// Returns the number of ranks on the host that has the most.
int RanksOnHost(int ranks, int ranks_per_host);

// Returns the limit that the ranks of a host reach first. `stated`: what the user says that a host
// of the job has, in bytes; 0: take the smallest limit of this host, which may be that of a cgroup.
// Returns nothing if this host does not tell.
std::optional<MemoryLimit> SmallestLimit(int64_t stated);

// Returns the number of ranks of `rank_bytes` that fit under a limit.
int RanksThatFit(double rank_bytes, const MemoryLimit& limit);

// Returns "8 ranks on a host, with passes of 32 images, need 24576 MiB, and the cgroup /job has
// 16384 MiB", a sentence without its end; "" if the ranks fit.
std::string DescribeMisfit(const HostNeed& need, const MemoryLimit& limit);

}  // namespace finetune

#endif  // FINETUNE_PLAN_HOST_MEMORY_H_
