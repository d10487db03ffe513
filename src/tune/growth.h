#ifndef FINETUNE_TUNE_GROWTH_H_
#define FINETUNE_TUNE_GROWTH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "src/comm/communicator.h"
#include "src/host/memory.h"

namespace finetune {

// Foresees whether a pass fits into the memory of the hosts. On the CPU a pass that does not fit
// does not fail: Linux gives the addresses, and kills the process when it writes to them.

// Returns the bytes that a rank with a pass of `images` occupies at most, if a pass of `earlier`
// images occupied `peak` and no pass occupies `base`. A pass takes memory in proportion to its
// images, apart from a part that does not depend on them. Counting that part as proportional, too,
// errs on the safe side.
int64_t ForeseenBytes(int64_t base, int64_t earlier, int64_t peak, int64_t images);

// A rank, for CheckGrowth().
struct RankGrowth {
  int64_t bytes = 0;  // the bytes that the rank will take beyond those it occupies now
  std::string host;
  std::vector<MemoryLimit> limits;  // the limits that the rank is under
};

// Checks that all ranks together can grow under each limit. A tenth of what is free is left to
// others. Errors: ResourceExhausted with the limit, its host, the bytes needed and the bytes free.
absl::Status CheckGrowth(const std::vector<RankGrowth>& ranks);

// Gathers the growths of all ranks and checks them. `bytes`: that of this rank. Collective; the
// result is the same on every rank. Errors: those of CheckGrowth() and of the communicator.
absl::Status CheckGrowthOfAll(int64_t bytes, Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TUNE_GROWTH_H_
