#ifndef FINETUNE_TRAIN_THREADS_H_
#define FINETUNE_TRAIN_THREADS_H_

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"

namespace finetune {

// Threads for a rank to compute with: `requested`, or where that is 0 its share of the cores it may
// run on. Cores that several ranks of a host may use are divided among them; cores that mpirun
// bound to one rank are its own. Collective.
absl::StatusOr<int> ThreadsForRank(int requested, Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_THREADS_H_
