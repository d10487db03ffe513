// Collectives over MPI on a thread of their own, the progress thread.
//
// Problem: gradients must be summed over the ranks while backward still computes. MPI moves large
// messages only inside MPI calls, and an MPI that may be called by two threads at once is slowed
// down by its locks.
//
// Method: after Start() only the progress thread makes MPI calls (MPI_THREAD_SERIALIZED). A caller
// submits an operation and goes on. The thread runs the operations one by one in the order of
// submission. It uses MPI's nonblocking calls and waits for them with MpiProgress, which sleeps, so
// that the core is free to compute.
//
// Layout: where all ranks are on one host, a tensor of AllocateBuffer() lies in memory that all
// ranks map (shared_memory.h) and is summed in place. Any other tensor is copied through
// `staging_`, which all ranks map too, kStagedElements at a time. Where ranks are on several hosts,
// the ring (ring_all_reduce.h) reads and writes the tensor itself.
//
// Invariants:
//  - Every rank submits the same operations in the same order. MPI matches them by that order.
//  - Only the progress thread reads or writes a submitted tensor until Work::Wait() returns.
//  - Every wait of the progress thread calls Tick() at least about every 20 ms. So heartbeats are
//    sent during a long operation too, and an Abort() that another thread calls is noticed.
//  - The first error is kept in `failure_`. After it no operation runs: each returns this error.
//    Only heartbeats and MPI_Abort still call MPI.
//  - Shared memory, the ring and the exchange (kExchangeBytes below) add the ranks' numbers in the
//    same order (ChunkOf() in wire.h). So with float32 on the wire all three give the same bits.
//    MPI_CHOICE adds in an order that MPI chooses.
//
// Tests: mpi_communicator_test compares each algorithm with a plain sum in this order. failure_test
// kills, stops and hangs ranks.
#include "src/comm/mpi/mpi_communicator.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/comm/mpi/mpi_heartbeats.h"
#include "src/comm/mpi/mpi_progress.h"
#include "src/comm/mpi/mpi_status.h"
#include "src/comm/mpi/ring_all_reduce.h"
#include "src/comm/mpi/shared_memory.h"
#include "src/comm/mpi/task_thread.h"
#include "src/comm/mpi/wait_hooks.h"
#include "src/host/launcher_process.h"

namespace finetune {
namespace {

// MPI's functions take the number of elements as int. So a tensor is broadcast, and summed with
// MPI_CHOICE, in pieces of at most this many elements (bytes for a broadcast).
constexpr int64_t kPiece = int64_t{1} << 28;
// The size of the ring's segments in bytes, chosen by measurements with bench/allreduce_benchmark.
// It is less than 64 KiB, because Open MPI sends a message of up to 64 KiB over TCP at once. For a
// larger one it first asks the receiver, and the answer waits behind the data that the receiver is
// sending.
constexpr int64_t kRingSegment = int64_t{60} << 10;
// If the data of all ranks together are at most this many bytes, AUTO uses the exchange instead of
// the ring (SumExchanged()): each rank sends all its data to all ranks and adds everything itself.
// This takes one step instead of 2 (size - 1).
constexpr int64_t kExchangeBytes = int64_t{64} << 10;
// On one host, a tensor that does not come from AllocateBuffer() is copied to `staging_` and summed
// there, this many elements at a time.
constexpr int64_t kStagedElements = int64_t{1} << 18;
// The exit code of an aborted job. Open MPI's mpirun exits with this code modulo 256, which must
// not be 0, because 0 means success.
constexpr int kAbortCode = 1;
static_assert(kAbortCode % 256 != 0);
// The longest time that MPI_Abort may take before the launcher is ended by force. MPI_Abort takes a
// second or two where all hosts can be reached.
constexpr absl::Duration kAbortGrace = absl::Seconds(30);

// Returns the time of the steady clock, which never jumps, as absl::Time. Only differences of such
// times have a meaning.
absl::Time Now() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

// An MPI_Op for 16-bit numbers: sets in_out[i] to the rounded float32 sum of in[i] and in_out[i].
template <Wire kWire>
void SumPacked(void* in, void* in_out, int* count, MPI_Datatype*) {
  constexpr int kBlock = 1024;
  float sum[kBlock];
  auto* left = static_cast<const uint16_t*>(in);
  auto* right = static_cast<uint16_t*>(in_out);
  for (int at = 0; at < *count; at += kBlock) {
    const int n = std::min(kBlock, *count - at);
    Unpack(right + at, n, kWire, sum);
    AccumulatePacked(left + at, n, kWire, sum);
    Pack(sum, n, kWire, right + at);
  }
}

}  // namespace

class MpiCommunicator::Engine {
 public:
  Engine(const CommConfig& config, CommObserver observer)
      : config_(config), observer_(std::move(observer)) {}

  // Creates MPI's communicators, the watchdog and the staging memory, then starts the progress
  // thread. Call it first, on the thread that started MPI.
  absl::Status Start();
  ~Engine();

  const World& world() const { return world_; }

  class Pending : public Work {
   public:
    explicit Pending(std::atomic<int>* waiting) : waiting_(*waiting) {}
    absl::Status Wait() override {
      if (!state->over.HasBeenNotified()) {
        waiting_.fetch_add(1, std::memory_order_relaxed);
        state->over.WaitForNotification();
        waiting_.fetch_sub(1, std::memory_order_relaxed);
      }
      return state->status;
    }
    struct State {
      absl::Notification over;
      absl::Status status;
    };
    const std::shared_ptr<State> state = std::make_shared<State>();

   private:
    std::atomic<int>& waiting_;
  };

  std::unique_ptr<Pending> Submit(const char* name, int64_t bytes,
                                  std::function<absl::Status()> run);
  absl::Status Do(const char* name, int64_t bytes, std::function<absl::Status()> run) {
    return Submit(name, bytes, std::move(run))->Wait();
  }

  // These functions run an operation from begin to end. They are called on the progress thread (or
  // by Start(), before the thread exists).
  absl::StatusOr<std::vector<std::string>> Gather(absl::string_view bytes);
  absl::Status Sum(float* data, int64_t n, Wire wire);
  absl::Status SumDoubles(absl::Span<double> values);
  absl::Status BroadcastBytes(void* data, int64_t bytes, int root);
  absl::Status MeetAll();
  // Creates zeroed memory for `numel` floats on each rank that all ranks map. Returns this rank's
  // memory; null on every rank where the ranks are on several hosts or cannot map each other's
  // memory.
  absl::StatusOr<float*> Share(int64_t numel);

  Watchdog& watchdog() { return *watchdog_; }
  [[noreturn]] void Abort(absl::string_view reason);

 private:
  // Memory for the same buffer on every rank, all of it mapped here. data[r] is rank r's buffer of
  // `numel` floats in members[r]. (For `staging_`, shared_sum_ holds the members.)
  struct Shared {
    std::vector<SharedMemory> members;
    std::vector<float*> data;
    int64_t numel;
  };

  absl::Status FindWorld();
  // Returns whether a caller is blocked in Work::Wait(), so that this rank computes nothing now.
  bool Idle() const { return waiting_.load(std::memory_order_relaxed) > 0; }
  absl::StatusOr<std::optional<std::vector<SharedMemory>>> ShareMemory(size_t bytes);
  // Lets the watchdog send and receive heartbeats. Ends the job if the watchdog has found a stall
  // of comm.timeout_seconds or another thread has called Abort().
  absl::Status Tick();
  absl::Status SumShared(const Shared& shared, int64_t begin, int64_t n);
  absl::Status SumStaged(float* data, int64_t n);
  absl::Status SumExchanged(float* data, int64_t n, Wire wire);
  absl::Status SumByMpi(float* data, int64_t n, Wire wire);

  const CommConfig config_;
  const CommObserver observer_;
  World world_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  MPI_Comm heartbeat_comm_ = MPI_COMM_NULL;
  std::array<MPI_Op, 2> packed_ops_ = {MPI_OP_NULL, MPI_OP_NULL};
  const WaitHooks hooks_{[this] { return Tick(); }, [this] { return Idle(); }};
  MpiProgress progress_{hooks_};
  std::optional<RingAllReduce> ring_;
  std::optional<SharedSum> shared_sum_;
  // The buffers of AllocateBuffer(). The key is the address of this rank's own buffer.
  std::map<const float*, Shared> shared_;
  std::optional<Shared> staging_;
  std::optional<Watchdog> watchdog_;
  std::vector<std::byte> scratch_;
  // The first error of an operation or heartbeat. After it no operation runs. Only the progress
  // thread uses it.
  absl::Status failure_;

  // The number of callers that are blocked in Work::Wait().
  std::atomic<int> waiting_{0};
  std::atomic<bool> aborting_{false};

  std::optional<TaskThread> thread_;
};

absl::Status MpiCommunicator::Engine::Start() {
  FT_RETURN_IF_ERROR(MpiStatus(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "MPI_Comm_dup"));
  FT_RETURN_IF_ERROR(MpiStatus(MPI_Comm_dup(MPI_COMM_WORLD, &heartbeat_comm_), "MPI_Comm_dup"));
  FT_RETURN_IF_ERROR(FindWorld());
  FT_RETURN_IF_ERROR(
      MpiStatus(MPI_Op_create(SumPacked<Wire::kBFloat16>, 1, &packed_ops_[0]), "MPI_Op_create"));
  FT_RETURN_IF_ERROR(
      MpiStatus(MPI_Op_create(SumPacked<Wire::kFloat16>, 1, &packed_ops_[1]), "MPI_Op_create"));
  watchdog_.emplace(Watchdog::Settings{absl::Seconds(config_.stall_warning_seconds()),
                                       absl::Seconds(config_.timeout_seconds())},
                    world_.rank, world_.hosts, std::make_unique<MpiHeartbeats>(heartbeat_comm_),
                    Now());
  ring_.emplace(comm_, kRingSegment);

  const MpiConfig::Algorithm algorithm = config_.mpi().algorithm();
  const bool one_host = world_.local_size == world_.size;
  if (algorithm == MpiConfig::SHARED_MEMORY && !one_host) {
    const std::set<std::string> hosts(world_.hosts.begin(), world_.hosts.end());
    return absl::InvalidArgumentError(absl::StrCat(
        "comm.mpi.algorithm: SHARED_MEMORY needs all ranks on one host; ", world_.local_size,
        " of ", world_.size, " are on ", world_.hosts[world_.rank]));
  }
  if (one_host && (algorithm == MpiConfig::AUTO || algorithm == MpiConfig::SHARED_MEMORY)) {
    FT_ASSIGN_OR_RETURN(std::optional<std::vector<SharedMemory>> memory,
                        ShareMemory(kStagedElements * sizeof(float)));
    if (memory.has_value()) {
      staging_ = Shared{{}, {}, kStagedElements};
      for (const SharedMemory& member : *memory) {
        staging_->data.push_back(reinterpret_cast<float*>(member.data()));
      }
      // The Meetings in the staging memory serve all sums in shared memory.
      shared_sum_.emplace(world_.rank, *std::move(memory));
    } else if (algorithm == MpiConfig::SHARED_MEMORY) {
      return absl::InvalidArgumentError(absl::StrCat(
          "comm.mpi.algorithm: SHARED_MEMORY, but the ranks on ", world_.hosts[world_.rank],
          " cannot map each other's memory (/proc/PID/fd): do they run in different containers?"));
    }
  }
  thread_.emplace(watchdog_->interval(), [this] {
    if (absl::Status status = Tick(); !status.ok() && failure_.ok()) failure_ = status;
  });
  return absl::OkStatus();
}

absl::Status MpiCommunicator::Engine::FindWorld() {
  MPI_Comm_rank(comm_, &world_.rank);
  MPI_Comm_size(comm_, &world_.size);
  MPI_Comm local = MPI_COMM_NULL;
  FT_RETURN_IF_ERROR(MpiStatus(
      MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, world_.rank, MPI_INFO_NULL, &local),
      "MPI_Comm_split_type"));
  MPI_Comm_rank(local, &world_.local_rank);
  MPI_Comm_size(local, &world_.local_size);
  MPI_Comm_free(&local);
  char name[MPI_MAX_PROCESSOR_NAME] = "";
  int length = 0;
  FT_RETURN_IF_ERROR(MpiStatus(MPI_Get_processor_name(name, &length), "MPI_Get_processor_name"));
  FT_ASSIGN_OR_RETURN(world_.hosts, Gather(absl::string_view(name, length)));
  return absl::OkStatus();
}

MpiCommunicator::Engine::~Engine() {
  if (thread_.has_value()) {
    // Wait for all ranks, so that no other rank still needs this one. If a rank does not come, the
    // watchdog reports it.
    Do("end", 0, [this] { return MeetAll(); }).IgnoreError();
  }
  thread_.reset();
  // After an error MPI's state is unknown, so no MPI object is freed. The process ends soon anyway.
  if (!failure_.ok()) return;
  if (watchdog_.has_value()) watchdog_->Stop();
  for (MPI_Op& op : packed_ops_) {
    if (op != MPI_OP_NULL) MPI_Op_free(&op);
  }
  for (MPI_Comm* comm : {&comm_, &heartbeat_comm_}) {
    if (*comm != MPI_COMM_NULL) MPI_Comm_free(comm);
  }
}

std::unique_ptr<MpiCommunicator::Engine::Pending> MpiCommunicator::Engine::Submit(
    const char* name, int64_t bytes, std::function<absl::Status()> run) {
  auto pending = std::make_unique<Pending>(&waiting_);
  const absl::Time submitted = absl::Now();
  watchdog_->CountEntered(name);
  thread_->Add([this, name, bytes, submitted, run = std::move(run), state = pending->state] {
    const absl::Time began = absl::Now();
    if (failure_.ok()) failure_ = run();
    if (failure_.ok()) watchdog_->CountFinished();
    if (observer_.event) observer_.event({name, bytes, submitted, began, absl::Now()});
    state->status = failure_;
    state->over.Notify();
    if (absl::Status status = Tick(); !status.ok() && failure_.ok()) failure_ = status;
  });
  return pending;
}

absl::Status MpiCommunicator::Engine::Tick() {
  if (aborting_.load(std::memory_order_acquire)) MPI_Abort(MPI_COMM_WORLD, kAbortCode);
  // Start() gathers the hosts' names before it has created the watchdog.
  if (!watchdog_.has_value()) return absl::OkStatus();
  FT_ASSIGN_OR_RETURN(const std::optional<std::string> fatal, watchdog_->Tick(Now()));
  if (fatal.has_value()) Abort(*fatal);
  return absl::OkStatus();
}

void MpiCommunicator::Engine::Abort(absl::string_view reason) {
  const std::string line =
      absl::StrCat("rank ", world_.rank, " (host ", world_.hosts[world_.rank], "): ", reason, "\n");
  std::fflush(nullptr);
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) std::fputs(line.c_str(), stderr);
  EndLauncherAfter(std::min(absl::Seconds(config_.timeout_seconds()), kAbortGrace));
  aborting_.store(true, std::memory_order_release);
  if (thread_.has_value() && !thread_->IsCurrent()) {
    thread_->Nudge();
  } else {
    MPI_Abort(MPI_COMM_WORLD, kAbortCode);
  }
  // MPI_Abort ends this process. If it does not, exit without MPI_Finalize: mpirun then ends the
  // other ranks.
  absl::SleepFor(absl::Seconds(10));
  _exit(kAbortCode);
}

absl::StatusOr<std::vector<std::string>> MpiCommunicator::Engine::Gather(absl::string_view bytes) {
  auto length = static_cast<int64_t>(bytes.size());
  std::vector<int64_t> lengths(world_.size);
  MPI_Request request = MPI_REQUEST_NULL;
  FT_RETURN_IF_ERROR(MpiStatus(
      MPI_Iallgather(&length, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, comm_, &request),
      "all-gather"));
  FT_RETURN_IF_ERROR(progress_.Wait(request, "all-gather"));
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  if (total > INT_MAX) {
    return absl::ResourceExhaustedError(
        absl::StrCat("all-gather of ", total, " bytes: 2 GiB is the most"));
  }
  std::vector<int> counts(lengths.begin(), lengths.end());
  std::vector<int> places(world_.size, 0);
  std::partial_sum(counts.begin(), counts.end() - 1, places.begin() + 1);
  std::string all(total, '\0');
  FT_RETURN_IF_ERROR(
      MpiStatus(MPI_Iallgatherv(bytes.data(), static_cast<int>(length), MPI_BYTE, all.data(),
                                counts.data(), places.data(), MPI_BYTE, comm_, &request),
                "all-gather"));
  FT_RETURN_IF_ERROR(progress_.Wait(request, "all-gather"));
  std::vector<std::string> result;
  result.reserve(world_.size);
  for (int r = 0; r < world_.size; ++r) result.push_back(all.substr(places[r], counts[r]));
  return result;
}

absl::StatusOr<std::optional<std::vector<SharedMemory>>> MpiCommunicator::Engine::ShareMemory(
    size_t bytes) {
  absl::StatusOr<SharedMemory> own = SharedMemory::Create(bytes);
  const SharedMemory::Handle handle = own.ok() ? own->handle() : SharedMemory::Handle{};
  FT_ASSIGN_OR_RETURN(
      std::vector<std::string> handles,
      Gather(absl::string_view(reinterpret_cast<const char*>(&handle), sizeof(handle))));
  std::vector<SharedMemory> members;
  double failures = own.ok() ? 0 : 1;
  for (int r = 0; r < world_.size && failures == 0; ++r) {
    if (r == world_.rank) {
      members.push_back(*std::move(own));  // NOLINT(bugprone-use-after-move): moved once.
      continue;
    }
    SharedMemory::Handle theirs;
    std::memcpy(&theirs, handles[r].data(), sizeof(theirs));
    absl::StatusOr<SharedMemory> opened = SharedMemory::Open(theirs);
    if (opened.ok()) {
      members.push_back(*std::move(opened));
    } else {
      failures = 1;
    }
  }
  // This sum is also a barrier. After it all ranks have opened this rank's memory, so the handle
  // can be closed.
  FT_RETURN_IF_ERROR(SumDoubles(absl::MakeSpan(&failures, 1)));
  if (failures > 0) return std::nullopt;
  members[world_.rank].CloseHandle();
  return members;
}

absl::StatusOr<float*> MpiCommunicator::Engine::Share(int64_t numel) {
  if (!shared_sum_.has_value()) return nullptr;
  FT_ASSIGN_OR_RETURN(std::optional<std::vector<SharedMemory>> members,
                      ShareMemory(numel * sizeof(float)));
  if (!members.has_value()) return nullptr;
  Shared shared{*std::move(members), {}, numel};
  for (const SharedMemory& member : shared.members) {
    shared.data.push_back(reinterpret_cast<float*>(member.data()));
  }
  float* own = shared.data[world_.rank];
  shared_.emplace(own, std::move(shared));
  return own;
}

absl::Status MpiCommunicator::Engine::SumShared(const Shared& shared, int64_t begin, int64_t n) {
  std::vector<float*> buffers;
  for (float* data : shared.data) buffers.push_back(data + begin);
  return shared_sum_->Run(buffers, {0, n, n}, hooks_);
}

absl::Status MpiCommunicator::Engine::SumStaged(float* data, int64_t n) {
  float* own = staging_->data[world_.rank];
  for (int64_t at = 0; at < n; at += kStagedElements) {
    const int64_t count = std::min(kStagedElements, n - at);
    std::copy_n(data + at, count, own);
    FT_RETURN_IF_ERROR(shared_sum_->Run(staging_->data, {at, at + count, n}, hooks_));
    std::copy_n(own, count, data + at);
  }
  return absl::OkStatus();
}

absl::Status MpiCommunicator::Engine::SumExchanged(float* data, int64_t n, Wire wire) {
  const auto bytes = n * static_cast<int64_t>(WireSize(wire));
  scratch_.resize(bytes * (world_.size + 1));
  std::byte* own = scratch_.data();
  std::byte* all = own + bytes;
  Pack(data, n, wire, own);
  MPI_Request request = MPI_REQUEST_NULL;
  FT_RETURN_IF_ERROR(MpiStatus(MPI_Iallgather(own, static_cast<int>(bytes), MPI_BYTE, all,
                                              static_cast<int>(bytes), MPI_BYTE, comm_, &request),
                               "all-reduce"));
  FT_RETURN_IF_ERROR(progress_.Wait(request, "all-reduce"));
  std::vector<std::vector<float>> values(world_.size, std::vector<float>(n));
  std::vector<float*> buffers;
  for (int r = 0; r < world_.size; ++r) {
    Unpack(all + r * bytes, n, wire, values[r].data());
    buffers.push_back(values[r].data());
  }
  SumInto(buffers, {0, n, n}, 0, n);
  std::copy_n(buffers[0], n, data);
  return absl::OkStatus();
}

absl::Status MpiCommunicator::Engine::SumByMpi(float* data, int64_t n, Wire wire) {
  const bool packed = wire != Wire::kFloat32;
  for (int64_t at = 0; at < n; at += kPiece) {
    const int64_t count = std::min(kPiece, n - at);
    void* buffer = data + at;
    if (packed) {
      scratch_.resize(count * WireSize(wire));
      buffer = scratch_.data();
      Pack(data + at, count, wire, buffer);
    }
    MPI_Request request = MPI_REQUEST_NULL;
    FT_RETURN_IF_ERROR(MpiStatus(
        MPI_Iallreduce(
            MPI_IN_PLACE, buffer, static_cast<int>(count), packed ? MPI_UINT16_T : MPI_FLOAT,
            !packed ? MPI_SUM : packed_ops_[wire == Wire::kFloat16 ? 1 : 0], comm_, &request),
        "MPI_Iallreduce"));
    FT_RETURN_IF_ERROR(progress_.Wait(request, "MPI_Iallreduce"));
    if (packed) Unpack(buffer, count, wire, data + at);
  }
  return absl::OkStatus();
}

absl::Status MpiCommunicator::Engine::Sum(float* data, int64_t n, Wire wire) {
  if (n == 0) return absl::OkStatus();
  if (shared_sum_.has_value()) {
    // In shared memory nothing is sent, so the numbers stay float32 whatever `wire` is.
    if (auto it = shared_.upper_bound(data); it != shared_.begin()) {
      const auto& [begin, shared] = *std::prev(it);
      if (data + n <= begin + shared.numel) return SumShared(shared, data - begin, n);
    }
    return SumStaged(data, n);
  }
  if (config_.mpi().algorithm() == MpiConfig::MPI_CHOICE) return SumByMpi(data, n, wire);
  const int64_t bytes = n * static_cast<int64_t>(WireSize(wire)) * world_.size;
  if (config_.mpi().algorithm() == MpiConfig::AUTO && wire == Wire::kFloat32 &&
      bytes <= kExchangeBytes) {
    return SumExchanged(data, n, wire);
  }
  return ring_->Run(data, n, wire, progress_);
}

absl::Status MpiCommunicator::Engine::SumDoubles(absl::Span<double> values) {
  FT_ASSIGN_OR_RETURN(std::vector<std::string> all,
                      Gather(absl::string_view(reinterpret_cast<const char*>(values.data()),
                                               values.size() * sizeof(double))));
  std::fill(values.begin(), values.end(), 0.0);
  for (int r = 0; r < world_.size; ++r) {
    if (all[r].size() != values.size() * sizeof(double)) {
      return absl::InvalidArgumentError(
          absl::StrCat("all-reduce: rank ", world_.rank, " came with ", values.size(),
                       " numbers, rank ", r, " with ", all[r].size() / sizeof(double)));
    }
    for (size_t i = 0; i < values.size(); ++i) {
      double value = 0;
      std::memcpy(&value, all[r].data() + i * sizeof(double), sizeof(double));
      values[i] += value;
    }
  }
  return absl::OkStatus();
}

absl::Status MpiCommunicator::Engine::BroadcastBytes(void* data, int64_t bytes, int root) {
  for (int64_t at = 0; at < bytes; at += kPiece) {
    MPI_Request request = MPI_REQUEST_NULL;
    FT_RETURN_IF_ERROR(MpiStatus(
        MPI_Ibcast(static_cast<char*>(data) + at, static_cast<int>(std::min(kPiece, bytes - at)),
                   MPI_BYTE, root, comm_, &request),
        "broadcast"));
    FT_RETURN_IF_ERROR(progress_.Wait(request, "broadcast"));
  }
  return absl::OkStatus();
}

absl::Status MpiCommunicator::Engine::MeetAll() {
  MPI_Request request = MPI_REQUEST_NULL;
  FT_RETURN_IF_ERROR(MpiStatus(MPI_Ibarrier(comm_, &request), "barrier"));
  return progress_.Wait(request, "barrier");
}

MpiCommunicator::MpiCommunicator(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
MpiCommunicator::~MpiCommunicator() = default;

absl::StatusOr<std::unique_ptr<MpiCommunicator>> MpiCommunicator::Create(const MpiSession& session,
                                                                         const CommConfig& config,
                                                                         CommObserver observer) {
  if (!session.active()) {
    return absl::FailedPreconditionError("MPI does not run: start with mpirun");
  }
  auto engine = std::make_unique<Engine>(config, std::move(observer));
  FT_RETURN_IF_ERROR(engine->Start());
  return std::unique_ptr<MpiCommunicator>(new MpiCommunicator(std::move(engine)));
}

const World& MpiCommunicator::world() const { return engine_->world(); }

absl::StatusOr<at::Tensor> MpiCommunicator::AllocateBuffer(int64_t numel) {
  float* data = nullptr;
  FT_RETURN_IF_ERROR(engine_->Do("allocation of shared memory", numel * 4, [&]() -> absl::Status {
    FT_ASSIGN_OR_RETURN(data, engine_->Share(numel));
    return absl::OkStatus();
  }));
  if (data == nullptr) return at::empty({numel}, at::kFloat).zero_();
  return at::from_blob(data, {numel}, at::kFloat);
}

absl::StatusOr<std::unique_ptr<Communicator::Work>> MpiCommunicator::AllReduceSum(
    const at::Tensor& tensor, Wire wire) {
  if (!tensor.is_cpu() || tensor.scalar_type() != at::kFloat || !tensor.is_contiguous()) {
    return absl::InvalidArgumentError(
        absl::StrCat("all-reduce over MPI: a contiguous float32 tensor on the CPU is needed, not ",
                     tensor.toString(), tensor.is_contiguous() ? "" : ", not contiguous"));
  }
  return engine_->Submit("all-reduce", tensor.numel() * 4, [engine = engine_.get(), tensor, wire] {
    return engine->Sum(tensor.data_ptr<float>(), tensor.numel(), wire);
  });
}

absl::Status MpiCommunicator::AllReduceSum(absl::Span<double> values) {
  return engine_->Do("sum of numbers", static_cast<int64_t>(values.size()) * 8,
                     [&] { return engine_->SumDoubles(values); });
}

absl::Status MpiCommunicator::Broadcast(const at::Tensor& tensor, int root) {
  if (!tensor.is_cpu() || !tensor.is_non_overlapping_and_dense()) {
    return absl::InvalidArgumentError("broadcast over MPI: a dense tensor on the CPU is needed");
  }
  const auto bytes = static_cast<int64_t>(tensor.nbytes());
  return engine_->Do("broadcast", bytes,
                     [&] { return engine_->BroadcastBytes(tensor.data_ptr(), bytes, root); });
}

absl::Status MpiCommunicator::Broadcast(std::string& bytes, int root) {
  return engine_->Do("broadcast", static_cast<int64_t>(bytes.size()), [&]() -> absl::Status {
    auto size = static_cast<uint64_t>(bytes.size());
    FT_RETURN_IF_ERROR(engine_->BroadcastBytes(&size, sizeof(size), root));
    bytes.resize(size);
    return engine_->BroadcastBytes(bytes.data(), static_cast<int64_t>(size), root);
  });
}

absl::StatusOr<std::vector<std::string>> MpiCommunicator::AllGather(absl::string_view bytes) {
  std::vector<std::string> all;
  FT_RETURN_IF_ERROR(
      engine_->Do("all-gather", static_cast<int64_t>(bytes.size()), [&]() -> absl::Status {
        FT_ASSIGN_OR_RETURN(all, engine_->Gather(bytes));
        return absl::OkStatus();
      }));
  return all;
}

absl::Status MpiCommunicator::Barrier() {
  return engine_->Do("barrier", 0, [this] { return engine_->MeetAll(); });
}

void MpiCommunicator::SetWarn(std::function<void(absl::string_view)> warn) {
  engine_->watchdog().SetWarn(std::move(warn));
}

void MpiCommunicator::SetActivity(absl::string_view activity) {
  engine_->watchdog().SetActivity(activity);
}

Watchdog* MpiCommunicator::watchdog() { return &engine_->watchdog(); }

void MpiCommunicator::Abort(absl::string_view reason) { engine_->Abort(reason); }

}  // namespace finetune
