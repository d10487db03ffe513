#ifndef FINETUNE_DATA_OPEN_SHARDS_H_
#define FINETUNE_DATA_OPEN_SHARDS_H_

#include <cstdint>

namespace finetune {

// Returns how many shards a data set may keep open. A process may have no more files open than
// `ulimit -n` says: 128 of these are left to MPI, CUDA and logs, and the rest is for two data sets,
// training's and validation's. May be 0.
int64_t OpenShardLimit();

}  // namespace finetune

#endif  // FINETUNE_DATA_OPEN_SHARDS_H_
