#include "src/comm/mpi/ring_all_reduce.h"

#include <algorithm>
#include <array>

#include "src/base/status_macros.h"
#include "src/comm/mpi/mpi_status.h"

namespace finetune {

RingAllReduce::RingAllReduce(MPI_Comm comm, int64_t segment_bytes)
    : comm_(comm), segment_bytes_(segment_bytes) {
  MPI_Comm_rank(comm, &rank_);
  MPI_Comm_size(comm, &size_);
}

// Message m = step * segments + segment. In step t a rank sends chunk (rank - t) to its right and
// receives chunk (rank - t - 1) from its left. In the first size - 1 steps it adds the received
// chunk to its own; in the later steps it keeps the received chunk. A message of step t > 0 can be
// sent when message m - segments, the same segment one step earlier, has been handled.
absl::Status RingAllReduce::Run(float* data, int64_t n, Wire wire, MpiProgress& progress) {
  if (size_ == 1 || n == 0) return absl::OkStatus();
  const auto element = static_cast<int64_t>(WireSize(wire));
  const int64_t segment = segment_bytes_ / element;
  const int64_t segments = (ChunkOf(n, size_, 0).size() + segment - 1) / segment;
  const int64_t messages = segments * 2 * (size_ - 1);
  const int64_t reduced_messages = segments * (size_ - 1);
  const int right = (rank_ + 1) % size_;
  const int left = (rank_ + size_ - 1) % size_;
  const bool packed = wire != Wire::kFloat32;
  incoming_.resize(kWindow * segment_bytes_);
  outgoing_.resize(packed ? kWindow * segment_bytes_ : 0);

  // Returns the elements of message m that this rank sends (shift 0) or receives (shift 1).
  const auto part = [&](int64_t m, int shift) {
    const int64_t step = m / segments;
    const auto index = static_cast<int>(((rank_ - step - shift) % size_ + size_) % size_);
    const Chunk chunk = ChunkOf(n, size_, index);
    const int64_t begin = std::min(chunk.end, chunk.begin + (m % segments) * segment);
    return Chunk{begin, std::min(chunk.end, begin + segment)};
  };

  // Slots 0..kWindow-1 receive, the others send; message m uses slot m % kWindow. A message without
  // elements is not sent.
  std::array<MPI_Request, size_t{2} * kWindow> requests;
  requests.fill(MPI_REQUEST_NULL);
  int64_t posted = 0,
          received = 0;  // messages [0, posted) may arrive, [0, received) are handled
  int64_t issued = 0,
          sent = 0;  // messages [0, issued) are on their way, [0, sent) are out of our memory
  std::vector<int> done;
  while (received < messages || sent < messages) {
    bool moved = false;
    while (posted < messages && posted < received + kWindow) {
      const Chunk in = part(posted, 1);
      const bool reduced = posted < reduced_messages;
      // A chunk that is still being sent, from the reduce-scatter, must not be overwritten yet.
      if (!reduced && !packed && sent <= posted - (size_ - 1) * segments) break;
      void* target =
          reduced || packed
              ? static_cast<void*>(incoming_.data() + (posted % kWindow) * segment_bytes_)
              : data + in.begin;
      if (in.size() > 0) {
        FT_RETURN_IF_ERROR(
            MpiStatus(MPI_Irecv(target, static_cast<int>(in.size() * element), MPI_BYTE, left, 0,
                                comm_, &requests[posted % kWindow]),
                      "all-reduce: MPI_Irecv"));
      }
      ++posted;
      moved = true;
    }
    while (received < posted && requests[received % kWindow] == MPI_REQUEST_NULL) {
      const Chunk in = part(received, 1);
      const std::byte* source = incoming_.data() + (received % kWindow) * segment_bytes_;
      if (received < reduced_messages) {
        AccumulatePacked(source, in.size(), wire, data + in.begin);
      } else if (packed) {
        Unpack(source, in.size(), wire, data + in.begin);
      }
      ++received;
      moved = true;
    }
    while (issued < messages && issued < sent + kWindow &&
           (issued < segments || received > issued - segments)) {
      const Chunk out = part(issued, 0);
      const void* source = data + out.begin;
      if (packed) {
        std::byte* slot = outgoing_.data() + (issued % kWindow) * segment_bytes_;
        Pack(data + out.begin, out.size(), wire, slot);
        // The complete sum that this rank owns is rounded to what the other ranks will receive.
        if (issued >= reduced_messages && issued < reduced_messages + segments) {
          Unpack(slot, out.size(), wire, data + out.begin);
        }
        source = slot;
      }
      if (out.size() > 0) {
        FT_RETURN_IF_ERROR(
            MpiStatus(MPI_Isend(source, static_cast<int>(out.size() * element), MPI_BYTE, right, 0,
                                comm_, &requests[kWindow + issued % kWindow]),
                      "all-reduce: MPI_Isend"));
      }
      ++issued;
      moved = true;
    }
    while (sent < issued && requests[kWindow + sent % kWindow] == MPI_REQUEST_NULL) {
      ++sent;
      moved = true;
    }
    if (!moved) FT_RETURN_IF_ERROR(progress.WaitSome(absl::MakeSpan(requests), "all-reduce", done));
  }
  return absl::OkStatus();
}

}  // namespace finetune
