#ifndef FINETUNE_COMM_WATCHDOG_HEARTBEATS_H_
#define FINETUNE_COMM_WATCHDOG_HEARTBEATS_H_

#include <mpi.h>

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/comm/watchdog/stall_detector.h"

namespace finetune {

// Carries heartbeats between rank 0 and the others over MPI, and says who is late. Never blocks: to
// a rank that does not read, one message is on its way and no more are sent.
class Heartbeats {
 public:
  // `comm` is this object's alone. A heartbeat is sent every `interval()`.
  Heartbeats(MPI_Comm comm, absl::Duration warning, absl::Duration timeout,
             const std::vector<std::string>& hosts, absl::Time now);

  absl::Duration interval() const { return interval_; }

  // Sends `own`, reads what has come. Call it every interval().
  absl::StatusOr<std::optional<StallDetector::Finding>> Poll(const Heartbeat& own, absl::Time now);

  // Ends all messages. Nothing may be called after it.
  void Stop();

 private:
  struct Message {
    int64_t entered;
    int64_t finished;
    std::array<char, 32> operation;
    std::array<char, 192> activity;
  };
  static Message Encode(const Heartbeat& heartbeat);
  static Heartbeat Decode(const Message& message);

  absl::Status Receive();

  MPI_Comm comm_;
  int rank_ = 0;
  absl::Duration interval_;
  StallDetector detector_;
  Message incoming_;
  MPI_Request receive_ = MPI_REQUEST_NULL;
  // By peer: all others on rank 0, rank 0 on the others.
  std::vector<int> peers_;
  std::vector<Message> outgoing_;
  std::vector<MPI_Request> sends_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_WATCHDOG_HEARTBEATS_H_
