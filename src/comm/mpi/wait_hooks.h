#ifndef FINETUNE_COMM_MPI_WAIT_HOOKS_H_
#define FINETUNE_COMM_MPI_WAIT_HOOKS_H_

#include <functional>

#include "absl/status/status.h"

namespace finetune {

// What those that wait for other ranks ask their owner.
struct WaitHooks {
  // Called every now and then; its error ends the wait.
  std::function<absl::Status()> tick;
  // Whether this rank computes nothing meanwhile: then a wait may keep the core busy for a moment.
  std::function<bool()> idle;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_WAIT_HOOKS_H_
