#include "src/comm/mpi/mpi_heartbeats.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/comm/mpi/mpi_status.h"

namespace finetune {
namespace {

template <size_t N>
void Copy(absl::string_view text, std::array<char, N>& out) {
  out.fill('\0');
  std::copy_n(text.data(), std::min(text.size(), N - 1), out.data());
}

template <size_t N>
std::string Text(const std::array<char, N>& in) {
  return std::string(in.data(), strnlen(in.data(), in.size()));
}

}  // namespace

MpiHeartbeats::MpiHeartbeats(MPI_Comm comm) : comm_(comm) {
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &size);
  if (rank != 0) {
    peers_.push_back(0);
  } else {
    for (int r = 1; r < size; ++r) peers_.push_back(r);
  }
  outgoing_.resize(peers_.size());
  sends_.resize(peers_.size(), MPI_REQUEST_NULL);
}

MpiHeartbeats::Message MpiHeartbeats::Encode(const Heartbeat& heartbeat) {
  Message message;
  message.entered = heartbeat.entered;
  message.finished = heartbeat.finished;
  Copy(heartbeat.operation, message.operation);
  Copy(heartbeat.activity, message.activity);
  return message;
}

Heartbeat MpiHeartbeats::Decode(const Message& message) {
  return {message.entered, message.finished, Text(message.operation), Text(message.activity)};
}

absl::StatusOr<std::optional<ReceivedHeartbeat>> MpiHeartbeats::Receive() {
  if (receive_ == MPI_REQUEST_NULL) {
    FT_RETURN_IF_ERROR(MpiStatus(
        MPI_Irecv(&incoming_, sizeof(incoming_), MPI_BYTE, MPI_ANY_SOURCE, 0, comm_, &receive_),
        "heartbeat"));
  }
  int arrived = 0;
  MPI_Status status;
  FT_RETURN_IF_ERROR(MpiStatus(MPI_Test(&receive_, &arrived, &status), "heartbeat"));
  if (arrived == 0) return std::nullopt;
  return ReceivedHeartbeat{status.MPI_SOURCE, Decode(incoming_)};
}

absl::Status MpiHeartbeats::Send(const Heartbeat& own) {
  for (size_t i = 0; i < peers_.size(); ++i) {
    int gone = 0;
    FT_RETURN_IF_ERROR(MpiStatus(MPI_Test(&sends_[i], &gone, MPI_STATUS_IGNORE), "heartbeat"));
    if (gone == 0) continue;
    outgoing_[i] = Encode(own);
    FT_RETURN_IF_ERROR(MpiStatus(
        MPI_Isend(&outgoing_[i], sizeof(Message), MPI_BYTE, peers_[i], 0, comm_, &sends_[i]),
        "heartbeat"));
  }
  return absl::OkStatus();
}

void MpiHeartbeats::Stop() {
  if (receive_ != MPI_REQUEST_NULL) {
    MPI_Cancel(&receive_);
    MPI_Wait(&receive_, MPI_STATUS_IGNORE);
  }
  // These waits end soon even when the other rank never receives: a heartbeat is so small that MPI
  // has already copied it out of outgoing_.
  for (MPI_Request& send : sends_) {
    if (send != MPI_REQUEST_NULL) MPI_Wait(&send, MPI_STATUS_IGNORE);
  }
}

}  // namespace finetune
