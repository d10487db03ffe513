#ifndef FINETUNE_DATA_OPEN_SHARDS_H_
#define FINETUNE_DATA_OPEN_SHARDS_H_

#include <cstdint>

namespace finetune {

// Returns the number of shards that a data set may keep open; it may be 0. `ulimit -n` limits the
// number of files that a process may have open. Of these, 128 are left for MPI, CUDA and logs. The
// training and the validation data set each get half of the rest.
int64_t OpenShardLimit();

}  // namespace finetune

#endif  // FINETUNE_DATA_OPEN_SHARDS_H_
