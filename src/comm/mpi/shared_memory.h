// All-reduce between the ranks of one host.
//
// Problem: ranks on one host need no messages to add their gradients. Copying each gradient into a
// message and out again would cost more memory bandwidth than the sum.
//
// Method: every rank keeps its gradients in memory that all ranks of the host map. Each rank adds
// its own part of all arrays and writes the sum into all of them: a reduce-scatter and an
// all-gather in one pass, without a copy.
//
// Layout of one rank's memory: a page with its Meeting, then `bytes` bytes of data. The memory is a
// memfd that others open as /proc/PID/fd/FD. It has no name in a file system, so the kernel frees
// it when the last rank ends, however that ends. A random token proves that the opened file is the
// right one.
//
// Invariants:
//  - Every rank runs the same operations in the same order. Operation k begins when every rank's
//    `arrived` is at least k. It is over when every rank's `done` is at least k.
//  - Between the two, rank r alone writes the elements of part r, in all arrays.
//  - Only the owner writes its Meeting. `arrived` and `done` are stored with release order and
//    loaded with acquire order, so the arrays' contents are visible with them. They wrap around
//    after 2^32 operations, and only their differences are compared.
//  - A wait sleeps on a futex for at most 20 ms, then calls its hook. The watchdog, which the hook
//    calls, finds a rank that has gone.
//
// Reference: SumInto() adds in the ring's order (wire.h). mpi_communicator_test compares both.
#ifndef FINETUNE_COMM_MPI_SHARED_MEMORY_H_
#define FINETUNE_COMM_MPI_SHARED_MEMORY_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "src/comm/mpi/wait_hooks.h"
#include "src/comm/wire.h"

namespace finetune {

// Memory of one rank that the other ranks of its host have mapped as well. It has no name in a file
// system, so the kernel frees it when the last of them ends, however that ends.
class SharedMemory {
 public:
  // Names the memory to another process of the host.
  struct Handle {
    pid_t pid = 0;
    int fd = -1;
    uint64_t token = 0;
    uint64_t bytes = 0;
  };

  // Returns zeroed memory of `bytes`. Errors: ResourceExhausted.
  static absl::StatusOr<SharedMemory> Create(size_t bytes);
  // Maps another process's memory, while that has its handle open. Errors: Unavailable where the
  // host does not let processes see each other (containers).
  static absl::StatusOr<SharedMemory> Open(const Handle& handle);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  Handle handle() const { return handle_; }
  // Closes the handle: Open() fails from now on, but the memory stays.
  void CloseHandle();

  // [bytes], aligned to a page.
  std::byte* data() const;
  // The rank's meeting point; see SharedSum.
  //  NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): keeps cache lines apart.
  struct Meeting {
    uint64_t token;
    // The number of elements to be summed.
    alignas(64) std::atomic<int64_t> elements;
    // The number of operations the owner has come to, and of those whose part it has done.
    std::atomic<uint32_t> arrived;
    alignas(64) std::atomic<uint32_t> done;
  };
  Meeting& meeting() const { return *static_cast<Meeting*>(base_); }

 private:
  SharedMemory(void* base, Handle handle) : base_(base), handle_(handle) {}
  void Release();

  void* base_ = nullptr;
  Handle handle_;
};

// Elements [begin, end) of an array of `total` elements, which is summed piece by piece.
struct Piece {
  int64_t begin;
  int64_t end;
  int64_t total;
};

// Adds piece.begin + [begin, end) of all `buffers` and writes the sums into all of them. The order
// of the sum is that of ChunkOf() for the piece's whole array. buffers[r]: rank r's piece, at its
// beginning.
void SumInto(absl::Span<float* const> buffers, const Piece& piece, int64_t begin, int64_t end);

// Sums arrays in memory that all ranks of a host share. Each rank sums a part of all arrays in
// place, without a copy. It sleeps (on a futex) where it has to wait for the others.
class SharedSum {
 public:
  // members[r]: rank r's memory, which holds its meeting point; this rank's own is among them.
  SharedSum(int rank, std::vector<SharedMemory> members);

  // Sums the pieces. buffers[r]: rank r's piece. A wait calls hooks.tick() every 20 ms. Errors:
  // InvalidArgument when the ranks' pieces differ in size.
  absl::Status Run(absl::Span<float* const> buffers, const Piece& piece, const WaitHooks& hooks);

 private:
  absl::Status Await(std::atomic<uint32_t> SharedMemory::Meeting::*counter, const WaitHooks& hooks);

  int rank_;
  std::vector<SharedMemory> members_;
  uint32_t operations_ = 0;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_SHARED_MEMORY_H_
