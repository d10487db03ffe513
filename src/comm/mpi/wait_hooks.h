#ifndef FINETUNE_COMM_MPI_WAIT_HOOKS_H_
#define FINETUNE_COMM_MPI_WAIT_HOOKS_H_

#include <functional>

#include "absl/status/status.h"

namespace finetune {

// Functions of the communicator that a wait for other ranks calls.
struct WaitHooks {
  // Sends heartbeats. A wait calls it at least every 20 ms; its error ends the wait.
  std::function<absl::Status()> tick;
  // Returns whether this rank computes nothing meanwhile. If so, a wait may poll for a moment
  // before it sleeps.
  std::function<bool()> idle;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_WAIT_HOOKS_H_
