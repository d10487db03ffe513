#ifndef FINETUNE_COMM_MPI_NETWORK_SLEEP_H_
#define FINETUNE_COMM_MPI_NETWORK_SLEEP_H_

#include <poll.h>

#include <vector>

#include "absl/time/time.h"

namespace finetune {

// Lets a thread sleep until a message for MPI arrives. MPI has no call for that; it can only be
// polled. But Open MPI watches its TCP connections with an epoll instance (MpiSession makes it
// choose epoll), and a thread can sleep until that instance reports data. A message through shared
// memory or through a network that bypasses the kernel does not end the sleep.
class NetworkSleep {
 public:
  // Finds the epoll instances that this process has now. So create it after MPI_Init_thread.
  NetworkSleep();

  // Sleeps for at most `most`. Returns true as soon as a connection is ready for MPI, false if none
  // became ready in that time.
  bool Sleep(absl::Duration most);

 private:
  std::vector<pollfd> instances_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_NETWORK_SLEEP_H_
