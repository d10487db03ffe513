#include "src/data/open_shards.h"

#include <sys/resource.h>

#include <algorithm>

namespace finetune {

int64_t OpenShardLimit() {
  constexpr int64_t kOthers = 128, kDatasets = 2, kMost = int64_t{1} << 20;
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const int64_t files = limit.rlim_cur >= kMost ? kMost : static_cast<int64_t>(limit.rlim_cur);
  return std::max<int64_t>(0, files - kOthers) / kDatasets;
}

}  // namespace finetune
