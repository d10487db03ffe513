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

// Memory of one rank that the other ranks of its host have mapped as well. It has no name in any
// file system: it goes when the last of them does, however they end.
class SharedMemory {
 public:
  // How another process of the host finds the memory.
  struct Handle {
    pid_t pid = 0;
    int fd = -1;
    uint64_t token = 0;
    uint64_t bytes = 0;
  };

  // Zeroed memory of `bytes`. Errors: ResourceExhausted.
  static absl::StatusOr<SharedMemory> Create(size_t bytes);
  // Another process's memory, while its handle_open(). Errors: Unavailable where the host does not
  // let processes see each other (containers).
  static absl::StatusOr<SharedMemory> Open(const Handle& handle);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  Handle handle() const { return handle_; }
  // No Open() after it; the memory stays.
  void CloseHandle();

  // [bytes], aligned to a page.
  std::byte* data() const;
  // The ranks' meeting point; see SharedSum.
  // NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): keeps cache lines apart.
  struct Meeting {
    uint64_t token;
    // The number of elements to be summed.
    alignas(64) std::atomic<int64_t> elements;
    // Operations the owner has come to, and those it has done its part of.
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

// Where an array of `total` elements is summed piece by piece: the piece's place in it.
struct Piece {
  int64_t begin;
  int64_t end;
  int64_t total;
};

// Adds piece.begin + [begin, end) of all `buffers` and writes the sums into all of them, in the
// order that ChunkOf gives for the piece's whole array. buffers[r]: rank r's piece, at its
// beginning.
void SumInto(absl::Span<float* const> buffers, const Piece& piece, int64_t begin, int64_t end);

// Sums arrays that lie in memory all ranks of a host share: each rank sums a part of them all in
// place, so that nothing is copied, and sleeps (a futex) where it has to wait for the others.
class SharedSum {
 public:
  // members[r]: rank r's meeting point, this rank's own among them.
  SharedSum(int rank, std::vector<SharedMemory> members);

  // buffers[r]: rank r's piece. hooks.tick() is called every 20 ms of waiting. Errors:
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
