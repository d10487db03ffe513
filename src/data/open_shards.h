#ifndef FINETUNE_DATA_OPEN_SHARDS_H_
#define FINETUNE_DATA_OPEN_SHARDS_H_

#include <cstdint>

namespace finetune {

// Returns how many shards a data set may keep open. May be 0. `ulimit -n` limits the open files of
// a process: 128 of them are left for MPI, CUDA and logs, and the rest is shared by two data sets,
// the training and the validation set.
int64_t OpenShardLimit();

}  // namespace finetune

#endif  // FINETUNE_DATA_OPEN_SHARDS_H_
