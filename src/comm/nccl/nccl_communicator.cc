#include "src/comm/nccl/nccl_communicator.h"

#include <ATen/core/Tensor.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>
#include <cuda_runtime.h>
#include <nccl.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "src/base/annotate.h"
#include "src/base/status_macros.h"
#include "src/comm/agreement.h"
#include "src/comm/nccl/nccl_bootstrap.h"
#include "src/comm/nccl/stream_timeline.h"
#include "src/host/gpus.h"

namespace finetune {
namespace {

absl::Status CudaStatus(cudaError_t code, absl::string_view what) {
  if (code == cudaSuccess) return absl::OkStatus();
  return absl::UnavailableError(
      WithGpu(absl::StrCat(what, ": ", cudaGetErrorString(code)), DescribeCurrentGpu()));
}

absl::Status NcclStatus(ncclResult_t code, ncclComm_t comm, absl::string_view what) {
  if (code == ncclSuccess) return absl::OkStatus();
  const char* detail = ncclGetLastError(comm);
  return absl::UnavailableError(
      WithGpu(absl::StrCat(what, ": ", ncclGetErrorString(code), detail != nullptr ? "; " : "",
                           detail != nullptr ? detail : ""),
              DescribeCurrentGpu()));
}

// Returns call(). An exception that LibTorch throws becomes a status.
template <typename F>
absl::Status Catching(F&& call) {
  try {
    return call();
  } catch (const c10::Error& error) {
    return absl::InternalError(WithGpu(error.what_without_backtrace(), DescribeCurrentGpu()));
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

}  // namespace

class NcclCommunicator::Engine {
 public:
  Engine(std::unique_ptr<Communicator> host, Watchdog* watchdog, const CommConfig& config,
         CommObserver observer)
      : host_(std::move(host)),
        watchdog_(*watchdog),
        observer_(std::move(observer)),
        timeout_(absl::Seconds(config.timeout_seconds())) {}
  ~Engine();

  absl::Status Start(const CommConfig& config);
  Communicator& host() { return *host_; }
  int device() const { return device_; }

  // An operation on NCCL's stream, with CUDA events at its beginning and its end. `timed`: whether
  // an observer wants its times. Without that the events cannot be timed and `began` is not
  // recorded.
  struct Operation {
    Operation(const char* name, int64_t bytes, bool timed)
        : name(name),
          bytes(bytes),
          began(timed ? cudaEventDefault : cudaEventDisableTiming),
          done(timed ? cudaEventDefault : cudaEventDisableTiming) {}
    const char* const name;
    const int64_t bytes;
    const absl::Time submitted = absl::Now();
    at::cuda::CUDAEvent began;
    at::cuda::CUDAEvent done;
  };
  absl::StatusOr<std::shared_ptr<Operation>> Sum(const at::Tensor& tensor, Wire wire);
  absl::Status Broadcast(const at::Tensor& tensor, int root);

 private:
  // TakeDevice() chooses and sets this rank's GPU. Connect() creates NCCL's communicator from the
  // id that all ranks share, and the stream.
  absl::Status TakeDevice();
  absl::Status Connect(const std::string& unique_id);
  // Waits until the nonblocking NCCL call that returned `code` has ended. `what`: its name for
  // errors.
  absl::Status Settle(ncclResult_t code, absl::string_view what);
  // Makes NCCL's stream wait for the work of the current stream, and returns a new operation. The
  // caller then submits the operation's work to NCCL's stream and calls Enqueued(), which records
  // the operation's end and hands it to the watcher.
  std::shared_ptr<Operation> Follow(const char* name, int64_t bytes);
  void Enqueued(const std::shared_ptr<Operation>& operation);
  // Records the event from which the first operation is timed.
  absl::Status Anchor();
  // Runs on the watcher's thread: reports ended operations, and ends the job at an asynchronous
  // error.
  void Watch();
  // Tells the observer the times of an operation that the GPU has finished. Called on the watcher's
  // thread.
  void Tell(std::shared_ptr<Operation> operation);

  std::unique_ptr<Communicator> host_;
  Watchdog& watchdog_;
  const CommObserver observer_;
  const absl::Duration timeout_;
  int device_ = -1;
  ncclComm_t comm_ = nullptr;
  std::optional<c10::cuda::CUDAStream> stream_;
  at::cuda::CUDAEvent before_;

  absl::Mutex mutex_;
  std::deque<std::shared_ptr<Operation>> running_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool failed_ = false;
  // Used by the watcher if there is an observer: the last operation that Tell() reported (the next
  // one is timed from its end), and the times computed so far.
  std::shared_ptr<Operation> told_;
  std::optional<StreamTimeline> timeline_;
  std::thread watcher_;
};

absl::Status NcclCommunicator::Engine::Start(const CommConfig& config) {
  FT_RETURN_IF_ERROR(Agree(TakeDevice(), *host_));
  // NCCL reads NCCL_ALGO when a communicator is created. A value that the user has set is kept.
  const std::string algorithm = NcclAlgorithmVariable(config.nccl().algorithm());
  if (!algorithm.empty()) setenv("NCCL_ALGO", algorithm.c_str(), /*replace=*/0);
  const auto make_id = []() -> absl::StatusOr<std::string> {
    ncclUniqueId id;
    FT_RETURN_IF_ERROR(NcclStatus(ncclGetUniqueId(&id), nullptr, "ncclGetUniqueId"));
    return std::string(id.internal, sizeof(id.internal));
  };
  FT_ASSIGN_OR_RETURN(const std::string id, ShareUniqueId(make_id, *host_));
  FT_RETURN_IF_ERROR(Agree(Connect(id), *host_));
  if (observer_.event) FT_RETURN_IF_ERROR(Agree(Anchor(), *host_));
  watcher_ = std::thread([this] { Watch(); });
  return absl::OkStatus();
}

absl::Status NcclCommunicator::Engine::TakeDevice() {
  const World& world = host_->world();
  const Gpus gpus = VisibleGpus();
  absl::StatusOr<int> device =
      ChooseDevice(world.local_rank, world.local_size, gpus.count, world.hosts[world.rank]);
  FT_RETURN_IF_ERROR(gpus.count == 0 ? Annotate(device.status(), gpus.why_none) : device.status());
  device_ = *device;
  return CudaStatus(cudaSetDevice(device_), absl::StrCat("GPU ", device_));
}

absl::Status NcclCommunicator::Engine::Connect(const std::string& bytes) {
  ncclUniqueId id;
  if (bytes.size() != sizeof(id.internal)) {
    return absl::InternalError("rank 0 runs another NCCL: its unique id has another size");
  }
  std::memcpy(id.internal, bytes.data(), sizeof(id.internal));
  // Nonblocking calls, because a blocking one would never return after another rank has died.
  ncclConfig_t nccl = NCCL_CONFIG_INITIALIZER;
  nccl.blocking = 0;
  FT_RETURN_IF_ERROR(Settle(ncclCommInitRankConfig(&comm_, host_->size(), id, host_->rank(), &nccl),
                            "ncclCommInitRankConfig"));
  return Catching([&] {
    stream_ = c10::cuda::getStreamFromPool(/*isHighPriority=*/true,
                                           static_cast<c10::DeviceIndex>(device_));
    return absl::OkStatus();
  });
}

NcclCommunicator::Engine::~Engine() {
  if (watcher_.joinable()) {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    watcher_.join();
  }
  if (comm_ == nullptr) return;
  if (failed_ || !Settle(ncclCommFinalize(comm_), "ncclCommFinalize").ok()) {
    ncclCommAbort(comm_);
  } else {
    ncclCommDestroy(comm_);
  }
}

absl::Status NcclCommunicator::Engine::Settle(ncclResult_t code, absl::string_view what) {
  const auto ask = [this] {
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
    return asked == ncclSuccess ? state : asked;
  };
  const absl::StatusOr<ncclResult_t> end =
      AwaitResult<ncclResult_t>(code, ncclInProgress, ask, timeout_, what);
  failed_ = failed_ || !end.ok() || *end != ncclSuccess;
  return end.ok() ? NcclStatus(*end, comm_, what) : end.status();
}

std::shared_ptr<NcclCommunicator::Engine::Operation> NcclCommunicator::Engine::Follow(
    const char* name, int64_t bytes) {
  const bool timed = observer_.event != nullptr;
  auto operation = std::make_shared<Operation>(name, bytes, timed);
  before_.record(c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device_)));
  before_.block(*stream_);
  if (timed) operation->began.record(*stream_);
  return operation;
}

void NcclCommunicator::Engine::Enqueued(const std::shared_ptr<Operation>& operation) {
  operation->done.record(*stream_);
  watchdog_.CountEntered(operation->name);
  absl::MutexLock lock(&mutex_);
  running_.push_back(operation);
}

absl::Status NcclCommunicator::Engine::Anchor() {
  return Catching([this] {
    told_ = std::make_shared<Operation>("start", 0, /*timed=*/true);
    told_->done.record(*stream_);
    told_->done.synchronize();
    timeline_.emplace(absl::Now());
    return absl::OkStatus();
  });
}

void NcclCommunicator::Engine::Tell(std::shared_ptr<Operation> operation) {
  float gap = 0, took = 0;
  const absl::Time now = absl::Now();
  if (cudaEventElapsedTime(&gap, told_->done.event(), operation->began.event()) == cudaSuccess &&
      cudaEventElapsedTime(&took, operation->began.event(), operation->done.event()) ==
          cudaSuccess) {
    const auto [began, ended] = timeline_->Add({operation->submitted, now, gap, took});
    observer_.event(
        {operation->name, operation->bytes, operation->submitted, began, ended, device_});
  }
  told_ = std::move(operation);
}

absl::StatusOr<std::shared_ptr<NcclCommunicator::Engine::Operation>> NcclCommunicator::Engine::Sum(
    const at::Tensor& tensor, Wire wire) {
  std::shared_ptr<Operation> operation;
  FT_RETURN_IF_ERROR(Catching([&]() -> absl::Status {
    const c10::cuda::CUDAGuard device(static_cast<c10::DeviceIndex>(device_));
    operation = Follow("all-reduce", static_cast<int64_t>(tensor.nbytes()));
    const c10::cuda::CUDAStreamGuard guard(*stream_);
    // Keeps LibTorch's allocator from reusing the tensor's memory while NCCL's stream uses it.
    tensor.record_stream(*stream_);
    at::Tensor packed = wire == Wire::kFloat32    ? tensor
                        : wire == Wire::kBFloat16 ? tensor.to(at::kBFloat16)
                                                  : tensor.to(at::kHalf);
    const ncclDataType_t type = wire == Wire::kFloat32    ? ncclFloat32
                                : wire == Wire::kBFloat16 ? ncclBfloat16
                                                          : ncclFloat16;
    FT_RETURN_IF_ERROR(Settle(ncclAllReduce(packed.data_ptr(), packed.data_ptr(), packed.numel(),
                                            type, ncclSum, comm_, stream_->stream()),
                              "ncclAllReduce"));
    if (wire != Wire::kFloat32) tensor.copy_(packed);
    Enqueued(operation);
    return absl::OkStatus();
  }));
  return operation;
}

absl::Status NcclCommunicator::Engine::Broadcast(const at::Tensor& tensor, int root) {
  return Catching([&]() -> absl::Status {
    const c10::cuda::CUDAGuard device(static_cast<c10::DeviceIndex>(device_));
    const std::shared_ptr<Operation> operation =
        Follow("broadcast", static_cast<int64_t>(tensor.nbytes()));
    tensor.record_stream(*stream_);
    FT_RETURN_IF_ERROR(Settle(ncclBroadcast(tensor.data_ptr(), tensor.data_ptr(), tensor.nbytes(),
                                            ncclUint8, root, comm_, stream_->stream()),
                              "ncclBroadcast"));
    Enqueued(operation);
    operation->done.block(c10::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(device_)));
    return absl::OkStatus();
  });
}

void NcclCommunicator::Engine::Watch() {
  cudaSetDevice(device_);
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), absl::Milliseconds(50))) return;
      while (!running_.empty()) {
        const cudaError_t done = cudaEventQuery(running_.front()->done.event());
        if (done == cudaErrorNotReady) break;
        if (done != cudaSuccess) host_->Abort(CudaStatus(done, "CUDA").message());
        watchdog_.CountFinished();
        if (timeline_.has_value()) Tell(running_.front());
        running_.pop_front();
      }
    }
    ncclResult_t code = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &code);
    if (asked != ncclSuccess) code = asked;
    if (code != ncclSuccess && code != ncclInProgress) {
      // ncclCommAbort ends the kernels on the GPU that still wait for the failed rank.
      const std::string reason(NcclStatus(code, comm_, "NCCL").message());
      ncclCommAbort(comm_);
      host_->Abort(reason);
    }
  }
}

NcclCommunicator::NcclCommunicator(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
NcclCommunicator::~NcclCommunicator() = default;

absl::StatusOr<std::unique_ptr<NcclCommunicator>> NcclCommunicator::Create(
    std::unique_ptr<Communicator> host, Watchdog* watchdog, const CommConfig& config,
    CommObserver observer) {
  auto engine = std::make_unique<Engine>(std::move(host), watchdog, config, std::move(observer));
  FT_RETURN_IF_ERROR(engine->Start(config));
  return std::unique_ptr<NcclCommunicator>(new NcclCommunicator(std::move(engine)));
}

const World& NcclCommunicator::world() const { return engine_->host().world(); }

int NcclCommunicator::device() const { return engine_->device(); }

absl::StatusOr<at::Tensor> NcclCommunicator::AllocateBuffer(int64_t numel) {
  at::Tensor buffer;
  FT_RETURN_IF_ERROR(Catching([&] {
    buffer = at::zeros({numel}, at::TensorOptions(at::kFloat).device(at::kCUDA, engine_->device()));
    return absl::OkStatus();
  }));
  return buffer;
}

absl::StatusOr<std::unique_ptr<Communicator::Work>> NcclCommunicator::AllReduceSum(
    const at::Tensor& tensor, Wire wire) {
  class Enqueued : public Work {
   public:
    explicit Enqueued(std::shared_ptr<Engine::Operation> operation)
        : operation_(std::move(operation)) {}
    absl::Status Wait() override {
      return Catching([this] {
        operation_->done.block(c10::cuda::getCurrentCUDAStream(operation_->done.device_index()));
        return absl::OkStatus();
      });
    }

   private:
    std::shared_ptr<Engine::Operation> operation_;
  };
  if (tensor.is_cpu()) return engine_->host().AllReduceSum(tensor, wire);
  if (tensor.scalar_type() != at::kFloat || !tensor.is_contiguous()) {
    return absl::InvalidArgumentError(
        absl::StrCat("all-reduce over NCCL: a contiguous float32 tensor is needed, not ",
                     tensor.toString(), tensor.is_contiguous() ? "" : ", not contiguous"));
  }
  FT_ASSIGN_OR_RETURN(std::shared_ptr<Engine::Operation> operation, engine_->Sum(tensor, wire));
  return std::make_unique<Enqueued>(std::move(operation));
}

absl::Status NcclCommunicator::AllReduceSum(absl::Span<double> values) {
  return engine_->host().AllReduceSum(values);
}

absl::Status NcclCommunicator::Broadcast(const at::Tensor& tensor, int root) {
  if (tensor.is_cpu()) return engine_->host().Broadcast(tensor, root);
  if (!tensor.is_non_overlapping_and_dense()) {
    return absl::InvalidArgumentError("broadcast over NCCL: a dense tensor is needed");
  }
  return engine_->Broadcast(tensor, root);
}

absl::Status NcclCommunicator::Broadcast(std::string& bytes, int root) {
  return engine_->host().Broadcast(bytes, root);
}

absl::StatusOr<std::vector<std::string>> NcclCommunicator::AllGather(absl::string_view bytes) {
  return engine_->host().AllGather(bytes);
}

absl::Status NcclCommunicator::Barrier() { return engine_->host().Barrier(); }

void NcclCommunicator::SetWarn(std::function<void(absl::string_view)> warn) {
  engine_->host().SetWarn(std::move(warn));
}

void NcclCommunicator::SetActivity(absl::string_view activity) {
  engine_->host().SetActivity(activity);
}

void NcclCommunicator::Abort(absl::string_view reason) {
  engine_->host().Abort(reason);
  // Never reached. The compiler does not know that the virtual function above does not return.
  std::abort();
}

}  // namespace finetune
