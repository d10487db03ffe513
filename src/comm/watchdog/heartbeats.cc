#include "src/comm/watchdog/heartbeats.h"

#include <algorithm>
#include <cstring>

#include "src/base/status_macros.h"
#include "src/comm/mpi/mpi_status.h"

namespace finetune {
namespace {

constexpr int kCenter = 0;

int RankIn(MPI_Comm comm) {
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  return rank;
}

// A second is often enough to be useful and rare enough to cost nothing; with thousands of ranks
// rank 0 reads thousands of them.
absl::Duration Interval(absl::Duration warning, size_t size) {
  const absl::Duration interval = std::clamp(warning / 5, absl::Milliseconds(20), absl::Seconds(1));
  return interval * std::max(1.0, static_cast<double>(size) / 1024);
}

template <size_t N>
void Copy(absl::string_view text, std::array<char, N>& out) {
  out.fill('\0');
  std::copy_n(text.data(), std::min(text.size(), N - 1), out.data());
}

}  // namespace

Heartbeats::Heartbeats(MPI_Comm comm, absl::Duration warning, absl::Duration timeout,
                       const std::vector<std::string>& hosts, absl::Time now)
    : comm_(comm),
      rank_(RankIn(comm)),
      interval_(Interval(warning, hosts.size())),
      detector_({warning, timeout, 5 * interval_}, hosts, rank_, kCenter, now) {
  if (rank_ != kCenter) {
    peers_.push_back(kCenter);
  } else {
    for (int r = 0; r < static_cast<int>(hosts.size()); ++r) {
      if (r != kCenter) peers_.push_back(r);
    }
  }
  outgoing_.resize(peers_.size());
  sends_.resize(peers_.size(), MPI_REQUEST_NULL);
}

Heartbeats::Message Heartbeats::Encode(const Heartbeat& heartbeat) {
  Message message;
  message.entered = heartbeat.entered;
  message.finished = heartbeat.finished;
  Copy(heartbeat.operation, message.operation);
  Copy(heartbeat.activity, message.activity);
  return message;
}

Heartbeat Heartbeats::Decode(const Message& message) {
  return {message.entered, message.finished,
          std::string(message.operation.data(),
                      strnlen(message.operation.data(), message.operation.size())),
          std::string(message.activity.data(),
                      strnlen(message.activity.data(), message.activity.size()))};
}

absl::Status Heartbeats::Receive() {
  return MpiStatus(
      MPI_Irecv(&incoming_, sizeof(incoming_), MPI_BYTE, MPI_ANY_SOURCE, 0, comm_, &receive_),
      "heartbeat");
}

absl::StatusOr<std::optional<StallDetector::Finding>> Heartbeats::Poll(const Heartbeat& own,
                                                                       absl::Time now) {
  if (receive_ == MPI_REQUEST_NULL) FT_RETURN_IF_ERROR(Receive());
  while (true) {
    int arrived = 0;
    MPI_Status status;
    FT_RETURN_IF_ERROR(MpiStatus(MPI_Test(&receive_, &arrived, &status), "heartbeat"));
    if (arrived == 0) break;
    detector_.Hear(status.MPI_SOURCE, Decode(incoming_), now);
    FT_RETURN_IF_ERROR(Receive());
  }
  for (size_t i = 0; i < peers_.size(); ++i) {
    int gone = 0;
    FT_RETURN_IF_ERROR(MpiStatus(MPI_Test(&sends_[i], &gone, MPI_STATUS_IGNORE), "heartbeat"));
    if (gone == 0) continue;
    outgoing_[i] = Encode(own);
    FT_RETURN_IF_ERROR(MpiStatus(
        MPI_Isend(&outgoing_[i], sizeof(Message), MPI_BYTE, peers_[i], 0, comm_, &sends_[i]),
        "heartbeat"));
  }
  detector_.Hear(rank_, own, now);
  return detector_.Check(now);
}

void Heartbeats::Stop() {
  if (receive_ != MPI_REQUEST_NULL) {
    MPI_Cancel(&receive_);
    MPI_Wait(&receive_, MPI_STATUS_IGNORE);
  }
  // Small enough to have left this process's memory, whether or not the peer still reads.
  for (MPI_Request& send : sends_) {
    if (send != MPI_REQUEST_NULL) MPI_Wait(&send, MPI_STATUS_IGNORE);
  }
}

}  // namespace finetune
