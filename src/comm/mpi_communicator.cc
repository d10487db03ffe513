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
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

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

__attribute__((target_clones("default", "avx2", "arch=x86-64-v4"))) void AddTo(
    const float* __restrict from, float* __restrict to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += from[i];
}

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

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  const std::string& host() const override { return host_; }

  std::future<absl::Status> AllReduceSum(const at::Tensor& tensor) override {
    if (size_ == 1) return Ready();
    return Enqueue("all-reduce", [this, tensor] { return ReduceTensor(tensor); });
  }

  absl::Status Broadcast(const at::Tensor& tensor, int root) override {
    if (size_ == 1) return absl::OkStatus();
    return Enqueue("broadcast",
                   [this, &tensor, root]() -> absl::Status {
                     char* bytes = static_cast<char*>(tensor.mutable_data_ptr());
                     for (int64_t left = static_cast<int64_t>(tensor.nbytes()); left > 0;) {
                       const int count = static_cast<int>(std::min(left, kMaxCount));
                       MPI_Request request;
                       FT_RETURN_IF_MPI_ERROR(
                           MPI_Ibcast(bytes, count, MPI_BYTE, root, comm_.get(), &request),
                           "broadcast");
                       FT_RETURN_IF_ERROR(Wait(&request, 1));
                       bytes += count;
                       left -= count;
                     }
                     return absl::OkStatus();
                   })
        .get();
  }

  absl::Status SumNumbers(absl::Span<double> numbers) override {
    if (size_ == 1) return absl::OkStatus();
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

  absl::StatusOr<std::vector<std::string>> Gather(const std::string& text) override {
    if (size_ == 1) return std::vector<std::string>{text};
    std::vector<std::string> all(size_);
    const absl::Status status =
        Enqueue("gather", [&]() -> absl::Status {
          std::vector<int> lengths(size_), offsets(size_);
          const int length = static_cast<int>(text.size());
          MPI_Request request;
          FT_RETURN_IF_MPI_ERROR(MPI_Iallgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT,
                                                comm_.get(), &request),
                                 "all-gather");
          FT_RETURN_IF_ERROR(Wait(&request, 1));
          int total = 0;
          for (int r = 0; r < size_; ++r) {
            offsets[r] = total;
            total += lengths[r];
          }
          std::string joined(total, '\0');
          FT_RETURN_IF_MPI_ERROR(
              MPI_Iallgatherv(text.data(), length, MPI_CHAR, joined.data(), lengths.data(),
                              offsets.data(), MPI_CHAR, comm_.get(), &request),
              "all-gather");
          FT_RETURN_IF_ERROR(Wait(&request, 1));
          for (int r = 0; r < size_; ++r) all[r] = joined.substr(offsets[r], lengths[r]);
          return absl::OkStatus();
        }).get();
    FT_RETURN_IF_ERROR(status);
    return all;
  }

  absl::Status Barrier() override {
    if (size_ == 1) return absl::OkStatus();
    return Enqueue("barrier",
                   [this]() -> absl::Status {
                     MPI_Request request;
                     FT_RETURN_IF_MPI_ERROR(MPI_Ibarrier(comm_.get(), &request), "barrier");
                     return Wait(&request, 1);
                   })
        .get();
  }

  void Abort(int exit_code) override {
    std::fflush(nullptr);
    if (size_ > 1) MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);
  }

 private:
  explicit MpiCommunicator(const CommConfig& config) : config_(config) {}

  absl::Status Init() {
    FT_RETURN_IF_MPI_ERROR(MPI_Comm_dup(MPI_COMM_WORLD, comm_.address()), "duplicating the world");
    FT_RETURN_IF_MPI_ERROR(MPI_Comm_dup(MPI_COMM_WORLD, arrivals_comm_.address()),
                           "duplicating the world");
    MPI_Comm_set_errhandler(comm_.get(), MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(arrivals_comm_.get(), MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_.get(), &rank_);
    MPI_Comm_size(comm_.get(), &size_);
    OwnedComm node;
    FT_RETURN_IF_MPI_ERROR(MPI_Comm_split_type(comm_.get(), MPI_COMM_TYPE_SHARED, rank_,
                                               MPI_INFO_NULL, node.address()),
                           "splitting by host");
    MPI_Comm_rank(node.get(), &local_rank_);
    MPI_Comm_size(node.get(), &local_size_);
    std::array<char, 256> name = {};
    gethostname(name.data(), name.size() - 1);
    host_ = name.data();
    arrived_.assign(size_, 0);
    hosts_.assign(size_, host_);
    if (size_ > 1) {
      thread_ = std::thread([this] { Run(); });
      FT_ASSIGN_OR_RETURN(hosts_, Gather(host_));
    }
    return absl::OkStatus();
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
    if (rank_ == 0) {
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
    while (rank_ == 0) {
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
    for (int r = 0; r < size_; ++r) {
      if (arrived_[r] < collective_)
        missing.push_back(absl::StrCat("rank ", r, " (host ", hosts_[r], ")"));
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
        if (rank_ == 0) {
          std::fprintf(stderr, "[warning] %s %lld has waited %.0f s; not there yet: %s\n", current_,
                       static_cast<long long>(collective_), waited, Missing().c_str());
        }
      }
      // Rank 0 knows who is missing, so it is given a moment to say so before another rank ends the
      // job.
      if (waited > config_.timeout_seconds() + (rank_ == 0 ? 0 : 2)) {
        std::fprintf(
            stderr,
            "[error] rank %d (host %s): %s %lld has waited %.0f s, comm.timeout_seconds; %s%s\n",
            rank_, host_.c_str(), current_, static_cast<long long>(collective_), waited,
            rank_ == 0 ? "not there: " : "ending the job", rank_ == 0 ? Missing().c_str() : "");
        Abort(1);
      }
    }
    if (rank_ == 0 && (collective_ & 63) == 0) CollectArrivals();
    return absl::OkStatus();
  }

  absl::Status ReduceTensor(const at::Tensor& tensor) {
    const bool ring_type = tensor.scalar_type() == at::kFloat;
    const auto algorithm = config_.mpi().algorithm();
    if (ring_type &&
        (algorithm == MpiConfig::RING ||
         (algorithm == MpiConfig::AUTO && static_cast<int64_t>(tensor.nbytes()) >= kRingBytes))) {
      return Ring(tensor.mutable_data_ptr<float>(), tensor.numel());
    }
    MPI_Datatype type;
    switch (tensor.scalar_type()) {
      case at::kFloat:
        type = MPI_FLOAT;
        break;
      case at::kDouble:
        type = MPI_DOUBLE;
        break;
      case at::kLong:
        type = MPI_INT64_T;
        break;
      default:
        return absl::InvalidArgumentError(
            "all-reduce of a type that is not float32, float64 or int64");
    }
    char* bytes = static_cast<char*>(tensor.mutable_data_ptr());
    for (int64_t left = tensor.numel(); left > 0;) {
      const int count = static_cast<int>(std::min(left, kMaxCount));
      MPI_Request request;
      FT_RETURN_IF_MPI_ERROR(
          MPI_Iallreduce(MPI_IN_PLACE, bytes, count, type, MPI_SUM, comm_.get(), &request),
          "all-reduce");
      FT_RETURN_IF_ERROR(Wait(&request, 1));
      bytes += count * static_cast<int64_t>(tensor.element_size());
      left -= count;
    }
    return absl::OkStatus();
  }

  // Ring all-reduce (Patarasuk and Yuan 2009): each of `size` parts goes once round the ring being
  // summed, then once round being copied. A part is summed in the same order whoever reads it, so
  // all ranks hold the same bits.
  absl::Status Ring(float* values, int64_t count) {
    const int next = (rank_ + 1) % size_, previous = (rank_ + size_ - 1) % size_;
    const auto begin = [&](int part) { return count * part / size_; };
    const auto part_of = [&](int step) { return ((rank_ - step) % size_ + size_) % size_; };
    for (int step = 0; step + 1 < size_; ++step) {
      FT_RETURN_IF_ERROR(Exchange(values, begin(part_of(step)), begin(part_of(step) + 1), next,
                                  begin(part_of(step + 1)), begin(part_of(step + 1) + 1), previous,
                                  true));
    }
    for (int step = 0; step + 1 < size_; ++step) {
      FT_RETURN_IF_ERROR(Exchange(values, begin(part_of(step - 1)), begin(part_of(step - 1) + 1),
                                  next, begin(part_of(step)), begin(part_of(step) + 1), previous,
                                  false));
    }
    return absl::OkStatus();
  }

  // Sends one part and receives another, piece by piece; `add` sums what comes into what is there.
  absl::Status Exchange(float* values, int64_t send_begin, int64_t send_end, int next,
                        int64_t receive_begin, int64_t receive_end, int previous, bool add) {
    const int64_t send = send_end - send_begin, receive = receive_end - receive_begin;
    const int64_t pieces = (std::max(send, receive) + kRingPieceElements - 1) / kRingPieceElements;
    const auto cut = [](int64_t n, int64_t piece) {
      return std::min(n, piece * kRingPieceElements);
    };
    if (add) inbox_.resize(2 * kRingPieceElements);
    const auto inbox = [&](int64_t piece) {
      return inbox_.data() + (piece % 2) * kRingPieceElements;
    };
    const auto post = [&](int64_t piece, std::array<MPI_Request, 2>* requests) -> absl::Status {
      const int64_t r0 = cut(receive, piece), r1 = cut(receive, piece + 1);
      const int64_t s0 = cut(send, piece), s1 = cut(send, piece + 1);
      FT_RETURN_IF_MPI_ERROR(
          MPI_Irecv(add ? inbox(piece) : values + receive_begin + r0, static_cast<int>(r1 - r0),
                    MPI_FLOAT, previous, 1, comm_.get(), &(*requests)[0]),
          "receiving");
      FT_RETURN_IF_MPI_ERROR(MPI_Isend(values + send_begin + s0, static_cast<int>(s1 - s0),
                                       MPI_FLOAT, next, 1, comm_.get(), &(*requests)[1]),
                             "sending");
      return absl::OkStatus();
    };
    std::array<MPI_Request, 2> now = {MPI_REQUEST_NULL, MPI_REQUEST_NULL}, after = now;
    if (pieces > 0) FT_RETURN_IF_ERROR(post(0, &now));
    for (int64_t piece = 0; piece < pieces; ++piece) {
      FT_RETURN_IF_ERROR(Wait(now.data(), 2));
      if (piece + 1 < pieces) FT_RETURN_IF_ERROR(post(piece + 1, &after));
      if (add) {
        const int64_t r0 = cut(receive, piece), r1 = cut(receive, piece + 1);
        AddTo(inbox(piece), values + receive_begin + r0, r1 - r0);
      }
      now = after;
    }
    return absl::OkStatus();
  }

  const CommConfig config_;
  OwnedComm comm_, arrivals_comm_;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  std::string host_;
  std::vector<std::string> hosts_;

  // The thread's own.
  std::vector<float> inbox_;
  const char* current_ = "";
  int64_t collective_ = 0;
  int64_t arrival_ = 0;
  std::vector<int64_t> arrived_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> tasks_;
  bool stop_ = false;
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
