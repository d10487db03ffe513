#include "src/comm/mpi_communicator.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

using Clock = std::chrono::steady_clock;

// Messages from here on go round our ring; smaller ones are MPI's own, which has fewer steps.
constexpr int64_t kRingBytes = 256 << 10;
// The ring sends its parts in pieces, so that adding one piece goes on beside the transfer of the
// next.
constexpr int64_t kRingPieceElements = 256 << 10;
// MPI counts in int.
constexpr int64_t kMaxCount = int64_t{1} << 30;

absl::Status MpiError(int code, const char* what) {
  std::array<char, MPI_MAX_ERROR_STRING> text = {};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  return absl::InternalError(absl::StrCat("MPI: ", what, ": ", std::string(text.data(), length)));
}

#define FT_RETURN_IF_MPI_ERROR(call, what)                    \
  do {                                                        \
    if (const int ft_code = (call); ft_code != MPI_SUCCESS) { \
      return MpiError(ft_code, what);                         \
    }                                                         \
  } while (false)

class OwnedComm {
 public:
  OwnedComm() = default;
  OwnedComm(const OwnedComm&) = delete;
  OwnedComm& operator=(const OwnedComm&) = delete;
  ~OwnedComm() {
    if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
  }
  MPI_Comm* address() { return &comm_; }
  MPI_Comm get() const { return comm_; }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
};

class Reduction : public Communicator::Work {
 public:
  explicit Reduction(std::future<absl::Status> done) : done_(std::move(done)) {}
  // The memory that is being summed must stay until then.
  ~Reduction() override {
    if (done_.valid()) done_.wait();
  }
  absl::Status Wait() override { return done_.get(); }

 private:
  std::future<absl::Status> done_;
};

class MpiCommunicator : public Communicator {
 public:
  static absl::StatusOr<std::unique_ptr<Communicator>> Make(const CommConfig& config) {
    std::unique_ptr<MpiCommunicator> made(new MpiCommunicator(config));
    FT_RETURN_IF_ERROR(made->Init());
    return std::unique_ptr<Communicator>(std::move(made));
  }

  ~MpiCommunicator() override {
    if (thread_.joinable()) {
      {
        const std::lock_guard lock(mutex_);
        stop_ = true;
      }
      wake_.notify_all();
      thread_.join();
    }
  }

  const World& world() const override { return world_; }

  absl::StatusOr<std::unique_ptr<Work>> AllReduceSum(const at::Tensor& tensor, Wire wire) override {
    if (tensor.scalar_type() != at::kFloat || !tensor.is_contiguous()) {
      return absl::InvalidArgumentError("all-reduce of what is no contiguous float32 tensor");
    }
    if (size() == 1) return std::unique_ptr<Work>(std::make_unique<Reduction>(Ready()));
    return std::unique_ptr<Work>(std::make_unique<Reduction>(
        Enqueue("all-reduce", [this, tensor, wire] { return ReduceTensor(tensor, wire); })));
  }

  absl::Status Broadcast(const at::Tensor& tensor, int root) override {
    if (!tensor.is_non_overlapping_and_dense()) {
      return absl::InvalidArgumentError("broadcast of a tensor with gaps");
    }
    return BroadcastBytes(static_cast<char*>(tensor.mutable_data_ptr()),
                          static_cast<int64_t>(tensor.nbytes()), root);
  }

  absl::Status Broadcast(std::string& bytes, int root) override {
    int64_t length = static_cast<int64_t>(bytes.size());
    FT_RETURN_IF_ERROR(BroadcastBytes(reinterpret_cast<char*>(&length), sizeof(length), root));
    bytes.resize(length);
    return BroadcastBytes(bytes.data(), length, root);
  }

  absl::Status AllReduceSum(absl::Span<double> numbers) override {
    if (size() == 1) return absl::OkStatus();
    return Enqueue(
               "sum",
               [this, numbers]() -> absl::Status {
                 MPI_Request request;
                 FT_RETURN_IF_MPI_ERROR(
                     MPI_Iallreduce(MPI_IN_PLACE, numbers.data(), static_cast<int>(numbers.size()),
                                    MPI_DOUBLE, MPI_SUM, comm_.get(), &request),
                     "all-reduce");
                 return Wait(&request, 1);
               })
        .get();
  }

  absl::StatusOr<std::vector<std::string>> AllGather(absl::string_view text) override {
    if (size() == 1) return std::vector<std::string>{std::string(text)};
    std::vector<std::string> all(size());
    const absl::Status status =
        Enqueue("gather", [&]() -> absl::Status {
          std::vector<int> lengths(size()), offsets(size());
          const int length = static_cast<int>(text.size());
          MPI_Request request;
          FT_RETURN_IF_MPI_ERROR(MPI_Iallgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT,
                                                comm_.get(), &request),
                                 "all-gather");
          FT_RETURN_IF_ERROR(Wait(&request, 1));
          int total = 0;
          for (int r = 0; r < size(); ++r) {
            offsets[r] = total;
            total += lengths[r];
          }
          std::string joined(total, '\0');
          FT_RETURN_IF_MPI_ERROR(
              MPI_Iallgatherv(text.data(), length, MPI_CHAR, joined.data(), lengths.data(),
                              offsets.data(), MPI_CHAR, comm_.get(), &request),
              "all-gather");
          FT_RETURN_IF_ERROR(Wait(&request, 1));
          for (int r = 0; r < size(); ++r) all[r] = joined.substr(offsets[r], lengths[r]);
          return absl::OkStatus();
        }).get();
    FT_RETURN_IF_ERROR(status);
    return all;
  }

  absl::Status Barrier() override {
    if (size() == 1) return absl::OkStatus();
    return Enqueue("barrier",
                   [this]() -> absl::Status {
                     MPI_Request request;
                     FT_RETURN_IF_MPI_ERROR(MPI_Ibarrier(comm_.get(), &request), "barrier");
                     return Wait(&request, 1);
                   })
        .get();
  }

  void SetActivity(absl::string_view activity) override {
    const std::lock_guard lock(mutex_);
    activity_.assign(activity.data(), activity.size());
  }

  void Abort(absl::string_view reason) override {
    std::fprintf(stderr, "[error] rank %d (host %s): %s\n", rank(), host(rank()).c_str(),
                 std::string(reason).c_str());
    std::fflush(nullptr);
    if (size() > 1) MPI_Abort(MPI_COMM_WORLD, 1);
    std::_Exit(1);
  }

 private:
  explicit MpiCommunicator(const CommConfig& config) : config_(config) {}

  absl::Status Init() {
    FT_RETURN_IF_MPI_ERROR(MPI_Comm_dup(MPI_COMM_WORLD, comm_.address()), "duplicating the world");
    FT_RETURN_IF_MPI_ERROR(MPI_Comm_dup(MPI_COMM_WORLD, arrivals_comm_.address()),
                           "duplicating the world");
    MPI_Comm_set_errhandler(comm_.get(), MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(arrivals_comm_.get(), MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_.get(), &world_.rank);
    MPI_Comm_size(comm_.get(), &world_.size);
    OwnedComm node;
    FT_RETURN_IF_MPI_ERROR(MPI_Comm_split_type(comm_.get(), MPI_COMM_TYPE_SHARED, rank(),
                                               MPI_INFO_NULL, node.address()),
                           "splitting by host");
    MPI_Comm_rank(node.get(), &world_.local_rank);
    MPI_Comm_size(node.get(), &world_.local_size);
    std::array<char, 256> name = {};
    gethostname(name.data(), name.size() - 1);
    world_.hosts.assign(size(), name.data());
    arrived_.assign(size(), 0);
    if (size() > 1) {
      thread_ = std::thread([this] { Run(); });
      FT_ASSIGN_OR_RETURN(world_.hosts, AllGather(name.data()));
    }
    return absl::OkStatus();
  }

  absl::Status BroadcastBytes(char* bytes, int64_t count, int root) {
    if (size() == 1) return absl::OkStatus();
    return Enqueue("broadcast",
                   [=, this]() -> absl::Status {
                     char* at = bytes;
                     for (int64_t left = count; left > 0;) {
                       const int part = static_cast<int>(std::min(left, kMaxCount));
                       MPI_Request request;
                       FT_RETURN_IF_MPI_ERROR(
                           MPI_Ibcast(at, part, MPI_BYTE, root, comm_.get(), &request),
                           "broadcast");
                       FT_RETURN_IF_ERROR(Wait(&request, 1));
                       at += part;
                       left -= part;
                     }
                     return absl::OkStatus();
                   })
        .get();
  }

  static std::future<absl::Status> Ready() {
    std::promise<absl::Status> done;
    done.set_value(absl::OkStatus());
    return done.get_future();
  }

  struct Task {
    const char* name;
    std::function<absl::Status()> run;
    std::promise<absl::Status> done;
  };

  std::future<absl::Status> Enqueue(const char* name, std::function<absl::Status()> run) {
    Task task{name, std::move(run), {}};
    std::future<absl::Status> result = task.done.get_future();
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
    return result;
  }

  void Run() {
    while (true) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      ++collective_;
      current_ = task.name;
      Announce();
      task.done.set_value(task.run());
    }
  }

  // Tells rank 0 that this rank has come to its next collective, so that it can name those that
  // have not.
  void Announce() {
    if (rank() == 0) {
      arrived_[0] = collective_;
      return;
    }
    // Small enough to be sent eagerly: it never waits for rank 0 to receive it.
    arrival_ = collective_;
    MPI_Request request;
    if (MPI_Isend(&arrival_, 1, MPI_INT64_T, 0, 0, arrivals_comm_.get(), &request) == MPI_SUCCESS) {
      MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
  }

  void CollectArrivals() {
    while (rank() == 0) {
      int there = 0;
      MPI_Status status;
      if (MPI_Iprobe(MPI_ANY_SOURCE, 0, arrivals_comm_.get(), &there, &status) != MPI_SUCCESS ||
          there == 0) {
        return;
      }
      MPI_Recv(&arrived_[status.MPI_SOURCE], 1, MPI_INT64_T, status.MPI_SOURCE, 0,
               arrivals_comm_.get(), MPI_STATUS_IGNORE);
    }
  }

  // "rank 3 (host a), rank 5 (host b)": those that have not come to the collective that rank 0 is
  // in.
  std::string Missing() {
    CollectArrivals();
    std::vector<std::string> missing;
    for (int r = 0; r < size(); ++r) {
      if (arrived_[r] < collective_)
        missing.push_back(absl::StrCat("rank ", r, " (host ", host(r), ")"));
    }
    return missing.empty() ? "no rank: the network or a host is slow"
                           : absl::StrJoin(missing, ", ");
  }

  // Waits for requests without keeping the core from those who compute; reports a stall, ends a
  // hang.
  absl::Status Wait(MPI_Request* requests, int count) {
    const Clock::time_point start = Clock::now();
    bool warned = false;
    for (int64_t polls = 0;; ++polls) {
      int done = 0;
      FT_RETURN_IF_MPI_ERROR(MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE), current_);
      if (done != 0) break;
      if (polls < 200) {
        std::this_thread::yield();
        continue;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(polls < 2000 ? 50 : 1000));
      const double waited = std::chrono::duration<double>(Clock::now() - start).count();
      if (!warned && waited > config_.stall_warning_seconds()) {
        warned = true;
        if (rank() == 0) {
          std::fprintf(stderr, "[warning] %s %lld has waited %.0f s; not there yet: %s\n", current_,
                       static_cast<long long>(collective_), waited, Missing().c_str());
        }
      }
      // Rank 0 knows who is missing, so it is given a moment to say so before another rank ends the
      // job.
      if (waited > config_.timeout_seconds() + (rank() == 0 ? 0 : 2)) {
        Abort(absl::StrFormat("%s %d has waited %.0f s (comm.timeout_seconds)%s", current_,
                              collective_, waited,
                              rank() == 0 ? "; not there: " + Missing() : std::string()));
      }
    }
    if (rank() == 0 && (collective_ & 63) == 0) CollectArrivals();
    return absl::OkStatus();
  }

  absl::Status ReduceTensor(const at::Tensor& tensor, Wire wire) {
    float* values = tensor.mutable_data_ptr<float>();
    const auto algorithm = config_.mpi().algorithm();
    const bool large = static_cast<int64_t>(tensor.nbytes()) >= kRingBytes;
    if (wire != Wire::kFloat32 || algorithm == MpiConfig::RING ||
        (algorithm == MpiConfig::AUTO && large)) {
      return Ring(values, tensor.numel(), wire);
    }
    for (int64_t left = tensor.numel(); left > 0;) {
      const int count = static_cast<int>(std::min(left, kMaxCount));
      MPI_Request request;
      FT_RETURN_IF_MPI_ERROR(
          MPI_Iallreduce(MPI_IN_PLACE, values, count, MPI_FLOAT, MPI_SUM, comm_.get(), &request),
          "all-reduce");
      FT_RETURN_IF_ERROR(Wait(&request, 1));
      values += count;
      left -= count;
    }
    return absl::OkStatus();
  }

  // Ring all-reduce (Patarasuk and Yuan 2009): each of `size` parts goes once round the ring being
  // summed, then once round being copied. A part is summed in the same order whoever reads it, so
  // all ranks hold the same bits.
  absl::Status Ring(float* values, int64_t count, Wire wire) {
    const auto part_of = [&](int step) {
      return ChunkOf(count, size(), ((rank() - step) % size() + size()) % size());
    };
    for (int step = 0; step + 1 < size(); ++step) {
      FT_RETURN_IF_ERROR(Exchange(values, part_of(step), part_of(step + 1), wire, /*add=*/true));
    }
    if (wire != Wire::kFloat32) {
      // The part that is summed here goes out rounded; keep the bits that the others get.
      const Chunk own = part_of(size() - 1);
      outbox_.resize(std::max(outbox_.size(), own.size() * WireSize(wire)));
      Pack(values + own.begin, own.size(), wire, outbox_.data());
      Unpack(outbox_.data(), own.size(), wire, values + own.begin);
    }
    for (int step = 0; step + 1 < size(); ++step) {
      FT_RETURN_IF_ERROR(Exchange(values, part_of(step - 1), part_of(step), wire, /*add=*/false));
    }
    return absl::OkStatus();
  }

  // Sends one part to the next rank and receives another from the previous one, piece by piece;
  // `add` sums what comes into what is there.
  absl::Status Exchange(float* values, Chunk send, Chunk receive, Wire wire, bool add) {
    const int next = (rank() + 1) % size(), previous = (rank() + size() - 1) % size();
    const int64_t pieces =
        (std::max(send.size(), receive.size()) + kRingPieceElements - 1) / kRingPieceElements;
    const auto cut = [](const Chunk& part, int64_t piece) {
      return Chunk{std::min(part.end, part.begin + piece * kRingPieceElements),
                   std::min(part.end, part.begin + (piece + 1) * kRingPieceElements)};
    };
    const size_t width = WireSize(wire);
    const bool packed = wire != Wire::kFloat32;
    const size_t box = 2 * kRingPieceElements * width;
    inbox_.resize(std::max(inbox_.size(), box));
    if (packed) outbox_.resize(std::max(outbox_.size(), box));
    const auto slot = [&](std::vector<std::byte>& boxes, int64_t piece) {
      return boxes.data() + (piece % 2) * kRingPieceElements * width;
    };
    const auto post = [&](int64_t piece, std::array<MPI_Request, 2>* requests) -> absl::Status {
      const Chunk in = cut(receive, piece), out = cut(send, piece);
      void* to = add || packed ? static_cast<void*>(slot(inbox_, piece)) : values + in.begin;
      const void* from = values + out.begin;
      if (packed) {
        Pack(values + out.begin, out.size(), wire, slot(outbox_, piece));
        from = slot(outbox_, piece);
      }
      FT_RETURN_IF_MPI_ERROR(MPI_Irecv(to, static_cast<int>(in.size() * width), MPI_BYTE, previous,
                                       1, comm_.get(), &(*requests)[0]),
                             "receiving");
      FT_RETURN_IF_MPI_ERROR(MPI_Isend(from, static_cast<int>(out.size() * width), MPI_BYTE, next,
                                       1, comm_.get(), &(*requests)[1]),
                             "sending");
      return absl::OkStatus();
    };
    std::array<MPI_Request, 2> now = {MPI_REQUEST_NULL, MPI_REQUEST_NULL}, after = now;
    if (pieces > 0) FT_RETURN_IF_ERROR(post(0, &now));
    for (int64_t piece = 0; piece < pieces; ++piece) {
      FT_RETURN_IF_ERROR(Wait(now.data(), 2));
      if (piece + 1 < pieces) FT_RETURN_IF_ERROR(post(piece + 1, &after));
      const Chunk in = cut(receive, piece);
      if (add && packed) {
        AccumulatePacked(slot(inbox_, piece), in.size(), wire, values + in.begin);
      } else if (add) {
        Accumulate(reinterpret_cast<const float*>(slot(inbox_, piece)), in.size(),
                   values + in.begin);
      } else if (packed) {
        Unpack(slot(inbox_, piece), in.size(), wire, values + in.begin);
      }
      now = after;
    }
    return absl::OkStatus();
  }

  const CommConfig config_;
  OwnedComm comm_, arrivals_comm_;
  World world_;

  // The thread's own.
  std::vector<std::byte> inbox_, outbox_;
  const char* current_ = "";
  int64_t collective_ = 0;
  int64_t arrival_ = 0;
  std::vector<int64_t> arrived_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> tasks_;
  bool stop_ = false;
  std::string activity_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MpiSession>> MpiSession::Start(int* argc, char*** argv) {
  // One thread of ours calls MPI at a time, but it is not always the same one.
  int provided = 0;
  FT_RETURN_IF_MPI_ERROR(MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &provided), "starting");
  if (provided < MPI_THREAD_SERIALIZED) {
    return absl::FailedPreconditionError(
        "this MPI was built without threads (MPI_THREAD_SERIALIZED)");
  }
  return std::unique_ptr<MpiSession>(new MpiSession());
}

MpiSession::~MpiSession() { MPI_Finalize(); }

absl::StatusOr<std::unique_ptr<Communicator>> MakeMpiCommunicator(const CommConfig& config) {
  return MpiCommunicator::Make(config);
}

}  // namespace finetune
