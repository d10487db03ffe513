#ifndef FINETUNE_COMM_MPI_RING_ALL_REDUCE_H_
#define FINETUNE_COMM_MPI_RING_ALL_REDUCE_H_

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "src/comm/mpi/mpi_progress.h"
#include "src/comm/wire.h"

namespace finetune {

// All-reduce in a ring: a reduce-scatter, then an all-gather (Patarasuk and Yuan 2009, "Bandwidth
// optimal all-reduce algorithms"). The data are cut into one chunk for each rank (ChunkOf() in
// wire.h). Each rank receives from its left neighbour and sends to its right one. It sends 2 (size
// - 1) / size times the size of the data in total, which is the minimum. A chunk is sent in
// segments: a rank adds one segment while the next is on its way, and sends a segment on before the
// rest of its chunk has arrived.
class RingAllReduce {
 public:
  // While Run() runs, nothing else may use `comm`. `segment_bytes`: the size of a segment as it is
  // sent.
  RingAllReduce(MPI_Comm comm, int64_t segment_bytes);

  // Sums data[0, n) over all ranks in place. Every rank must call it with the same `n` and `wire`.
  // With a 16-bit `wire` each rank rounds the partial sum before it sends it. All ranks still end
  // with the same bits.
  absl::Status Run(float* data, int64_t n, Wire wire, MpiProgress& progress);

 private:
  // At most this many messages are being received at once, and as many are being sent.
  static constexpr int kWindow = 4;

  MPI_Comm comm_;
  int rank_;
  int size_;
  int64_t segment_bytes_;
  // Buffers of kWindow segments each. Run() sets their size in its first call. `outgoing_` is used
  // only with a 16-bit wire.
  std::vector<std::byte> incoming_;
  std::vector<std::byte> outgoing_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_RING_ALL_REDUCE_H_
