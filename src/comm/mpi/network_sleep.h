#ifndef FINETUNE_COMM_MPI_NETWORK_SLEEP_H_
#define FINETUNE_COMM_MPI_NETWORK_SLEEP_H_

#include <poll.h>

#include <vector>

#include "absl/time/time.h"

namespace finetune {

// Sleeps that end when a message arrives. MPI itself can only be polled. But Open MPI keeps its TCP
// connections in an epoll instance (MpiSession makes it choose epoll), and a thread can sleep on
// that. Shared memory and networks that bypass the kernel do not end such a sleep.
class NetworkSleep {
 public:
  // Uses the epoll instances that this process has now. Create it after MPI's start.
  NetworkSleep();

  // Returns true when a connection is ready for MPI, false after `most`.
  bool Sleep(absl::Duration most);

 private:
  std::vector<pollfd> instances_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_NETWORK_SLEEP_H_
