#ifndef FINETUNE_COMM_MPI_NETWORK_SLEEP_H_
#define FINETUNE_COMM_MPI_NETWORK_SLEEP_H_

#include <poll.h>

#include <vector>

#include "absl/time/time.h"

namespace finetune {

// Sleeps that end when a message comes. MPI can only be polled; but Open MPI keeps its TCP
// connections in an epoll instance (MpiSession has it choose that), and on one of those a thread
// can sleep. Networks that pass the kernel by, and memory that ranks share, wake nobody.
class NetworkSleep {
 public:
  // On the epoll instances that this process has now: after MPI's start.
  NetworkSleep();

  // Returns after `most`, or when a connection is ready for what MPI waits for: true.
  bool Sleep(absl::Duration most);

 private:
  std::vector<pollfd> instances_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_NETWORK_SLEEP_H_
