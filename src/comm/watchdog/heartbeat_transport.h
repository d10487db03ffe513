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

// Carries heartbeats between rank 0 and every other rank. No call blocks, even when other ranks are
// stopped or dead.
class HeartbeatTransport {
 public:
  virtual ~HeartbeatTransport() = default;

  // Sends this rank's heartbeat `own`: from rank 0 to all other ranks, from any other rank to rank
  // 0. Sends nothing to a rank that has not yet received the previous heartbeat.
  virtual absl::Status Send(const Heartbeat& own) = 0;

  // Returns one heartbeat that has arrived and was not returned before, or nullopt if there is
  // none.
  virtual absl::StatusOr<std::optional<ReceivedHeartbeat>> Receive() = 0;

  // Cancels the heartbeats that are on their way. No other method may be called afterwards.
  virtual void Stop() = 0;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_WATCHDOG_HEARTBEAT_TRANSPORT_H_
