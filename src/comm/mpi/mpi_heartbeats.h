#ifndef FINETUNE_COMM_MPI_MPI_HEARTBEATS_H_
#define FINETUNE_COMM_MPI_MPI_HEARTBEATS_H_

#include <mpi.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/comm/watchdog/heartbeat_transport.h"

namespace finetune {

// Sends heartbeats as MPI messages. At most one message to each rank is on its way.
class MpiHeartbeats : public HeartbeatTransport {
 public:
  // Nothing else may use `comm`.
  explicit MpiHeartbeats(MPI_Comm comm);

  absl::Status Send(const Heartbeat& own) override;
  absl::StatusOr<std::optional<ReceivedHeartbeat>> Receive() override;
  void Stop() override;

 private:
  // Both texts are cut to the size of their array and end with a zero byte.
  struct Message {
    int64_t entered;
    int64_t finished;
    std::array<char, 32> operation;
    std::array<char, 192> activity;
  };
  static Message Encode(const Heartbeat& heartbeat);
  static Heartbeat Decode(const Message& message);

  MPI_Comm comm_;
  Message incoming_;
  MPI_Request receive_ = MPI_REQUEST_NULL;
  // The ranks that receive this rank's heartbeats. outgoing_[i] is the last message to peers_[i],
  // and sends_[i] is its request.
  std::vector<int> peers_;
  std::vector<Message> outgoing_;
  std::vector<MPI_Request> sends_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_HEARTBEATS_H_
