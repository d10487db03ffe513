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
// optimal all-reduce algorithms"). Each rank sends and receives 2 (size - 1) / size of the data,
// which is the minimum. Chunks travel in segments: one segment is summed while the next is on its
// way, and it is sent on before its chunk is complete.
class RingAllReduce {
 public:
  // While an operation runs, only this object uses `comm`.
  RingAllReduce(MPI_Comm comm, int64_t segment_bytes);

  // Sums data[0, n) over all ranks in place. With a 16-bit `wire` every hop rounds the partial sum.
  // All ranks still end with the same bits.
  absl::Status Run(float* data, int64_t n, Wire wire, MpiProgress& progress);

 private:
  // The most messages on their way at once in each direction.
  static constexpr int kWindow = 4;

  MPI_Comm comm_;
  int rank_;
  int size_;
  int64_t segment_bytes_;
  // kWindow segments each. They grow once.
  std::vector<std::byte> incoming_;
  std::vector<std::byte> outgoing_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_RING_ALL_REDUCE_H_
