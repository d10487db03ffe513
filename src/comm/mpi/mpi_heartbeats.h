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

// Heartbeats as messages of MPI. At most one message to a rank is on its way.
class MpiHeartbeats : public HeartbeatTransport {
 public:
  // This object alone uses `comm`.
  explicit MpiHeartbeats(MPI_Comm comm);

  absl::Status Send(const Heartbeat& own) override;
  absl::StatusOr<std::optional<ReceivedHeartbeat>> Receive() override;
  void Stop() override;

 private:
  // Texts are cut to the size of the arrays and end with a 0.
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
  // The ranks that receive this rank's heartbeats, with the last message to each.
  std::vector<int> peers_;
  std::vector<Message> outgoing_;
  std::vector<MPI_Request> sends_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_MPI_HEARTBEATS_H_
