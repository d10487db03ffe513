#ifndef FINETUNE_COMM_MPI_WAIT_HOOKS_H_
#define FINETUNE_COMM_MPI_WAIT_HOOKS_H_

#include <functional>

#include "absl/status/status.h"

namespace finetune {

// Functions that a wait for other ranks calls again and again. The communicator provides them.
struct WaitHooks {
  // Sends and receives heartbeats. A wait calls it at least every 20 ms. When it returns an error,
  // the wait ends and returns that error.
  std::function<absl::Status()> tick;
  // Returns whether a caller blocks until the operation has ended, so that this rank computes
  // nothing now. Then the wait may poll for a moment before it first sleeps.
  std::function<bool()> idle;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_WAIT_HOOKS_H_
