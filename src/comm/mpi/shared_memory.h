// All-reduce between the ranks of one host.
//
// Problem: copying each gradient into a message and out again costs more memory bandwidth than
// adding it. Ranks on one host need no messages: they can read each other's memory.
//
// Method: every rank keeps its array of gradients in memory that all ranks of the host map. The
// arrays are cut into as many parts as there are ranks. Rank r reads part r of all ranks' arrays,
// adds them, and writes the sum into part r of all arrays. This is a reduce-scatter and an
// all-gather in one pass, without a copy.
//
// Layout of one rank's memory: a page of 4096 bytes that begins with a Meeting (the counters
// below), then `bytes` bytes of data. The memory is a memfd, which the other ranks open as
// /proc/PID/fd/FD. It has no name in a file system, so the kernel frees it when the last rank that
// maps it has ended, even by a crash. A random token in the Meeting proves that the opened file is
// the right one.
//
// Invariants:
//  - Every rank runs the same operations in the same order. In operation k a rank sets its
//    `arrived` to k when its array may be read and written, and its `done` to k when it has summed
//    its part. It starts to sum when every rank's `arrived` is at least k. The operation is over
//    when every rank's `done` is at least k.
//  - Between these two moments only rank r writes part r, in all arrays.
//  - Only the rank that created a memory writes its Meeting. `arrived` and `done` are stored with
//    release order and loaded with acquire order, so a rank that sees a new count also sees the
//    arrays' new contents. The counts wrap around after 2^32 operations, so only their differences
//    are compared.
//  - A wait sleeps on a futex for at most 20 ms, then calls WaitHooks::tick. That calls the
//    watchdog, which ends the job when another rank has died.
//
// Reference: SumInto() adds in the order that wire.h defines, as the ring does.
// mpi_communicator_test compares their results.
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

// A mapping of memory that one rank created and that the other ranks of its host map too. The
// kernel frees the memory when no process maps it any more.
class SharedMemory {
 public:
  // Everything that another process of the same host needs to map this memory.
  struct Handle {
    // `pid` and `fd`: the process that created the memory and its open descriptor. `token`: the
    // random number in the memory's Meeting. `bytes`: the size of data().
    pid_t pid = 0;
    int fd = -1;
    uint64_t token = 0;
    uint64_t bytes = 0;
  };

  // Creates memory whose data() has `bytes` zeroed bytes. Errors: ResourceExhausted when the system
  // does not provide it.
  static absl::StatusOr<SharedMemory> Create(size_t bytes);
  // Maps the memory that another process has created. That process must not have called
  // CloseHandle() yet. Errors: Unavailable when `handle` cannot be opened or names other memory,
  // for example because the processes run in different containers.
  static absl::StatusOr<SharedMemory> Open(const Handle& handle);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  Handle handle() const { return handle_; }
  // Closes the descriptor. From now on no other process can open the memory; existing mappings stay
  // valid.
  void CloseHandle();

  // The data: Handle::bytes bytes, aligned to a page.
  std::byte* data() const;
  // The counters with which ranks wait for each other (the invariants at the head of this file).
  //  NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): keeps cache lines apart.
  struct Meeting {
    uint64_t token;
    // The number of elements that this rank sums in the current operation, by which Run() finds
    // ranks that disagree.
    alignas(64) std::atomic<int64_t> elements;
    // arrived: the number of operations that the creating rank has entered. done: the number of
    // operations in which it has summed its part.
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

// The elements [begin, end) of an array of `total` elements. An array that is larger than a buffer
// is summed piece by piece.
struct Piece {
  int64_t begin;
  int64_t end;
  int64_t total;
};

// Sums elements [begin, end) of a piece over all ranks. buffers[r]: the piece of rank r's array;
// buffers[r][0] is the array's element piece.begin. Adds buffers[0..size-1][i] for each i in
// [begin, end) and writes the sum into all buffers. The order of the addition is that of the whole
// array's chunks (ChunkOf() with n = piece.total), so it does not depend on how the array is cut
// into pieces.
void SumInto(absl::Span<float* const> buffers, const Piece& piece, int64_t begin, int64_t end);

// Sums arrays that lie in memory which all ranks of a host map, as the head of this file describes.
class SharedSum {
 public:
  // `rank`: this rank. members[r]: the memory that rank r created; its Meeting is used for all
  // operations.
  SharedSum(int rank, std::vector<SharedMemory> members);

  // Sums a piece over all ranks; every rank must call it. buffers[r]: this process's mapping of
  // rank r's piece, whose first element is piece.begin. Returns when all buffers hold the sums.
  // Errors: InvalidArgument when the ranks' pieces differ in size; those of hooks.tick().
  absl::Status Run(absl::Span<float* const> buffers, const Piece& piece, const WaitHooks& hooks);

 private:
  // Waits until `counter` of every rank's Meeting is at least operations_.
  absl::Status Await(std::atomic<uint32_t> SharedMemory::Meeting::*counter, const WaitHooks& hooks);

  int rank_;
  std::vector<SharedMemory> members_;
  // The number of operations that this rank has entered, modulo 2^32.
  uint32_t operations_ = 0;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_MPI_SHARED_MEMORY_H_
