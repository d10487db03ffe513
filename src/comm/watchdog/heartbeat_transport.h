#ifndef FINETUNE_COMM_WATCHDOG_HEARTBEAT_TRANSPORT_H_
#define FINETUNE_COMM_WATCHDOG_HEARTBEAT_TRANSPORT_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/comm/watchdog/stall_detector.h"

namespace finetune {

// A heartbeat and the rank that sent it.
struct ReceivedHeartbeat {
  int rank = 0;
  Heartbeat heartbeat;
};

// Carries heartbeats between rank 0 and every other rank. No call blocks, whatever state the other
// ranks are in.
class HeartbeatTransport {
 public:
  virtual ~HeartbeatTransport() = default;

  // Sends `own`: rank 0 to all other ranks, another rank to rank 0. Skips a rank that has not yet
  // read the heartbeat before.
  virtual absl::Status Send(const Heartbeat& own) = 0;

  // Returns the next heartbeat that has arrived, or none.
  virtual absl::StatusOr<std::optional<ReceivedHeartbeat>> Receive() = 0;

  // Cancels all messages that are on their way. No other call may follow.
  virtual void Stop() = 0;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_WATCHDOG_HEARTBEAT_TRANSPORT_H_
