#include "src/comm/mpi/shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

constexpr size_t kHeader = 4096;
static_assert(sizeof(SharedMemory::Meeting) <= kHeader);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

absl::Status Failed(absl::StatusCode code, absl::string_view what) {
  return absl::Status(code, absl::StrCat("shared memory: ", what, ": ", strerror(errno)));
}

absl::StatusOr<void*> Map(int fd, size_t bytes) {
  void* base =
      mmap(nullptr, kHeader + bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (base == MAP_FAILED) return Failed(absl::StatusCode::kResourceExhausted, "mmap");
  // Asks for huge pages. Where the host does not allow them for shared memory, this has no effect.
  madvise(base, kHeader + bytes, MADV_HUGEPAGE);
  return base;
}

uint32_t* Word(std::atomic<uint32_t>& value) { return reinterpret_cast<uint32_t*>(&value); }

void Wake(std::atomic<uint32_t>& value) {
  syscall(SYS_futex, Word(value), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Tells the processor to pause for some cycles in a loop that reads memory until another core
// writes it.
void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Sleeps while `value` is `seen`: until Wake(), but for at most 20 ms.
void SleepWhile(std::atomic<uint32_t>& value, uint32_t seen) {
  const timespec limit{0, 20'000'000};
  syscall(SYS_futex, Word(value), FUTEX_WAIT, seen, &limit, nullptr, 0);
}

}  // namespace

absl::StatusOr<SharedMemory> SharedMemory::Create(size_t bytes) {
  Handle handle{getpid(), memfd_create("finetune", MFD_CLOEXEC), 0, bytes};
  if (handle.fd < 0) return Failed(absl::StatusCode::kResourceExhausted, "memfd_create");
  SharedMemory memory(nullptr, handle);
  if (ftruncate(handle.fd, static_cast<off_t>(kHeader + bytes)) != 0 ||
      getrandom(&memory.handle_.token, sizeof(memory.handle_.token), 0) !=
          sizeof(memory.handle_.token)) {
    return Failed(absl::StatusCode::kResourceExhausted, absl::StrCat(bytes, " bytes"));
  }
  FT_ASSIGN_OR_RETURN(memory.base_, Map(handle.fd, bytes));
  memory.meeting().token = memory.handle_.token;
  return memory;
}

absl::StatusOr<SharedMemory> SharedMemory::Open(const Handle& handle) {
  const std::string path = absl::StrCat("/proc/", handle.pid, "/fd/", handle.fd);
  SharedMemory memory(nullptr, handle);
  memory.handle_.fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (memory.handle_.fd < 0) return Failed(absl::StatusCode::kUnavailable, path);
  struct stat status {};
  if (fstat(memory.handle_.fd, &status) != 0 ||
      status.st_size != static_cast<off_t>(kHeader + handle.bytes)) {
    return absl::UnavailableError(absl::StrCat("shared memory: ", path, " is another process's"));
  }
  FT_ASSIGN_OR_RETURN(memory.base_, Map(memory.handle_.fd, handle.bytes));
  if (memory.meeting().token != handle.token) {
    return absl::UnavailableError(absl::StrCat("shared memory: ", path, " is another process's"));
  }
  memory.CloseHandle();
  return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)), handle_(other.handle_) {
  other.handle_.fd = -1;
}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  if (this != &other) {
    Release();
    base_ = std::exchange(other.base_, nullptr);
    handle_ = other.handle_;
    other.handle_.fd = -1;
  }
  return *this;
}

SharedMemory::~SharedMemory() { Release(); }

void SharedMemory::Release() {
  CloseHandle();
  if (base_ != nullptr) munmap(base_, kHeader + handle_.bytes);
}

void SharedMemory::CloseHandle() {
  if (handle_.fd >= 0) close(handle_.fd);
  handle_.fd = -1;
}

std::byte* SharedMemory::data() const { return static_cast<std::byte*>(base_) + kHeader; }

void SumInto(absl::Span<float* const> buffers, const Piece& piece, int64_t begin, int64_t end) {
  constexpr int64_t kBlock = 2048;
  alignas(64) std::array<float, kBlock> sum;
  const auto size = static_cast<int>(buffers.size());
  for (int c = 0; c < size; ++c) {
    const Chunk chunk = ChunkOf(piece.total, size, c);
    const int64_t last = std::min(end, chunk.end - piece.begin);
    for (int64_t at = std::max(begin, chunk.begin - piece.begin); at < last; at += kBlock) {
      const int64_t n = std::min(kBlock, last - at);
      std::copy_n(buffers[c] + at, n, sum.data());
      for (int k = 1; k < size; ++k) Accumulate(buffers[(c + k) % size] + at, n, sum.data());
      for (float* buffer : buffers) std::copy_n(sum.data(), n, buffer + at);
    }
  }
}

SharedSum::SharedSum(int rank, std::vector<SharedMemory> members)
    : rank_(rank), members_(std::move(members)) {}

absl::Status SharedSum::Await(std::atomic<uint32_t> SharedMemory::Meeting::*counter,
                              const WaitHooks& hooks) {
  // The number of polls before the first sleep. They take about as long as falling asleep and
  // waking up.
  constexpr int kEager = 1000;
  for (const SharedMemory& member : members_) {
    std::atomic<uint32_t>& value = member.meeting().*counter;
    for (int polls = 0;; ++polls) {
      const uint32_t seen = value.load(std::memory_order_acquire);
      if (static_cast<int32_t>(seen - operations_) >= 0) break;
      if (polls < kEager && hooks.idle()) {
        Relax();
        continue;
      }
      SleepWhile(value, seen);
      FT_RETURN_IF_ERROR(hooks.tick());
    }
  }
  return absl::OkStatus();
}

absl::Status SharedSum::Run(absl::Span<float* const> buffers, const Piece& piece,
                            const WaitHooks& hooks) {
  ++operations_;
  SharedMemory::Meeting& own = members_[rank_].meeting();
  const int64_t n = piece.end - piece.begin;
  own.elements.store(n, std::memory_order_relaxed);
  own.arrived.store(operations_, std::memory_order_release);
  Wake(own.arrived);
  FT_RETURN_IF_ERROR(Await(&SharedMemory::Meeting::arrived, hooks));
  for (size_t r = 0; r < members_.size(); ++r) {
    const int64_t other = members_[r].meeting().elements.load(std::memory_order_relaxed);
    if (other != n) {
      return absl::InvalidArgumentError(absl::StrCat("all-reduce: rank ", rank_, " came with ", n,
                                                     " elements, rank ", r, " with ", other));
    }
  }
  const Chunk part = ChunkOf(n, static_cast<int>(members_.size()), rank_);
  SumInto(buffers, piece, part.begin, part.end);
  own.done.store(operations_, std::memory_order_release);
  Wake(own.done);
  return Await(&SharedMemory::Meeting::done, hooks);
}

}  // namespace finetune
