// All-reduce in a ring over MPI.
//
// Problem: ranks on several hosts must sum an array with as few bytes on the network as possible,
// and in the order of addition that wire.h promises.
//
// Method: a reduce-scatter, then an all-gather (Patarasuk and Yuan 2009). Run() describes the steps
// and the numbering of the messages. A chunk travels in segments, so that a rank adds one segment
// while the next is on its way.
//
// Layout: with float32 on the wire, messages are sent from the array itself and, in the all-gather,
// received into it. With a 16-bit wire they are first packed into `outgoing_`. All other messages
// are received into `incoming_`. Both buffers have room for kWindow segments.
//
// Invariants: messages are posted, handled and sent in the order of their numbers. At most kWindow
// of them are being received, and at most kWindow are being sent. Elements that are still being
// sent are not overwritten.
//
// Tests: mpi_communicator_test compares with a plain sum.
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

// The algorithm has 2 (size - 1) steps. In step t a rank sends chunk (rank - t) modulo size to its
// right neighbour and receives chunk (rank - t - 1) modulo size from its left one. In the first
// size - 1 steps (the reduce-scatter) it adds the received chunk to its own data. In the later
// steps (the all-gather) the received chunk is a complete sum and replaces its data.
//
// A chunk is sent as `segments` messages of one segment each. Both the messages that a rank sends
// and those that it receives are numbered m = t * segments + s for step t and segment s. Message m
// of a step t > 0 passes on the data of received message m - segments, so it is sent after that one
// has been handled.
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

  // Returns the elements that this rank sends (shift 0) or receives (shift 1) with message m.
  const auto part = [&](int64_t m, int shift) {
    const int64_t step = m / segments;
    const auto index = static_cast<int>(((rank_ - step - shift) % size_ + size_) % size_);
    const Chunk chunk = ChunkOf(n, size_, index);
    const int64_t begin = std::min(chunk.end, chunk.begin + (m % segments) * segment);
    return Chunk{begin, std::min(chunk.end, begin + segment)};
  };

  // Requests 0 to kWindow - 1 receive, the other kWindow send. Received message m uses request m %
  // kWindow, sent message m uses request kWindow + m % kWindow. A message without elements (the
  // last chunks may be short) is neither sent nor received, but it is counted.
  std::array<MPI_Request, size_t{2} * kWindow> requests;
  requests.fill(MPI_REQUEST_NULL);
  int64_t posted = 0,
          received = 0;  // of the messages to receive: posted to MPI, and handled
  int64_t issued = 0,
          sent = 0;  // of the messages to send: given to MPI, and sent
  std::vector<int> done;
  while (received < messages || sent < messages) {
    bool moved = false;
    while (posted < messages && posted < received + kWindow) {
      const Chunk in = part(posted, 1);
      const bool reduced = posted < reduced_messages;
      // The message would overwrite elements that this rank sent in the reduce-scatter, size - 1
      // steps earlier. Their sending must have ended.
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
        // This rank is the first to send this chunk's complete sum, rounded to `wire`. Round this
        // rank's copy too, so that all ranks have the same bits.
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
