// Tests NCCL's communicator, alone and in a recorded step. Needs a GPU and runs under mpirun with
// one rank. A sum over one rank changes nothing, so the tests send bfloat16: a value that comes
// back rounded has passed through NCCL.
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "src/comm/mpi/mpi_communicator.h"
#include "src/comm/nccl/nccl_communicator.h"
#include "src/comm/replay_communicator.h"
#include "src/comm/watchdog/watchdog.h"
#include "src/train/device.h"
#include "src/train/step_graph.h"
#include "tests/mpi_main.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

#ifdef FINETUNE_CUDA

// 1 plus a quarter of bfloat16's unit in the last place. Rounded to bfloat16 it becomes 1.
constexpr float kAboveOne = 1 + 1.0F / 512;

std::unique_ptr<Communicator> Make(CommObserver observer = {}) {
  CommConfig config;
  config.set_timeout_seconds(60);
  auto host = MpiCommunicator::Create(TestSession(), config, {});
  EXPECT_TRUE(host.ok()) << host.status();
  Watchdog* const watchdog = (*host)->watchdog();
  auto comm = NcclCommunicator::Create(*std::move(host), watchdog, config, std::move(observer));
  EXPECT_TRUE(comm.ok()) << comm.status();
  return *std::move(comm);
}

at::TensorOptions OnDevice() { return at::TensorOptions(TestDevice()); }

// Keeps the GPU busy for a while, so that work that fails to wait for it would be seen to run too
// early.
at::Tensor Busy() {
  at::Tensor x = at::ones({2048, 2048}, OnDevice());
  for (int i = 0; i < 20; ++i) x = x.matmul(x).div(2048);
  return x;
}

TEST(NcclTest, SumsComeAfterTheStreamsWorkAndBeforeWhatFollows) {
  const std::unique_ptr<Communicator> comm = Make();
  ASSERT_EQ(comm->device(), 0);
  for (const int64_t numel : {1, 1000, 1 << 20}) {
    const at::Tensor values = at::zeros({numel}, OnDevice());
    values.add_(Busy()[0][0] * kAboveOne);
    auto work = comm->AllReduceSum(values, Wire::kBFloat16);
    ASSERT_TRUE(work.ok()) << work.status();
    ASSERT_TRUE((*work)->Wait().ok());
    EXPECT_TRUE(values.eq(1).all().item<bool>()) << numel;
  }
}

TEST(NcclTest, Float32ComesBackAsItWent) {
  const std::unique_ptr<Communicator> comm = Make();
  auto buffer = comm->AllocateBuffer(1000);
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  buffer->fill_(kAboveOne);
  auto work = comm->AllReduceSum(*buffer);
  ASSERT_TRUE(work.ok()) << work.status();
  ASSERT_TRUE((*work)->Wait().ok());
  ASSERT_TRUE(comm->Broadcast(*buffer, 0).ok());
  EXPECT_TRUE(buffer->eq(kAboveOne).all().item<bool>());
}

TEST(NcclTest, TellsWhenTheGpuSummed) {
  absl::Mutex mutex;
  std::vector<CollectiveEvent> events;
  CommObserver observer;
  observer.event = [&](const CollectiveEvent& event) {
    absl::MutexLock lock(&mutex);
    events.push_back(event);
  };
  const std::unique_ptr<Communicator> comm = Make(observer);
  const at::Tensor values = at::ones({1000}, OnDevice());
  auto work = comm->AllReduceSum(values);
  ASSERT_TRUE(work.ok()) << work.status();
  absl::MutexLock lock(&mutex);
  const auto told = [&] { return !events.empty(); };
  ASSERT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&told), absl::Seconds(20)));
  EXPECT_EQ(std::string(events[0].name), "all-reduce");
  EXPECT_EQ(events[0].bytes, 4000);
  EXPECT_EQ(events[0].device, 0);
  EXPECT_LE(events[0].began, events[0].ended);
}

TEST(NcclTest, RecordedStepsSumInTheMiddleOfEachLaunch) {
  const std::unique_ptr<Communicator> comm = Make();
  ReplayCommunicator replayed(comm.get());
  const OwnStream stream(comm->device());
  StepGraph graph(TestDevice(), &replayed);
  const at::Tensor sum = at::zeros({1000}, OnDevice());
  std::unique_ptr<Communicator::Work> work;
  for (int i = 0; i < 6; ++i) {
    Batch batch;
    batch.images = at::full({1, 1, 2, 2}, kAboveOne * static_cast<float>(1 << i), OnDevice());
    batch.labels = at::full({1}, i, OnDevice().dtype(at::kLong));
    const auto result = graph.Run(batch, [&](const Batch& recorded) {
      sum.copy_(recorded.images.mean().expand({1000}));
      auto started = replayed.AllReduceSum(sum, Wire::kBFloat16);
      EXPECT_TRUE(started.ok()) << started.status();
      work = *std::move(started);
      // Work of the graph that runs at the same time as the sum.
      return Busy()[0][0] + recorded.labels.sum();
    });
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_TRUE(work->Wait().ok());
    EXPECT_TRUE(sum.eq(1 << i).all().item<bool>()) << "launch " << i;
    EXPECT_EQ(result->item<float>(), static_cast<float>(1 + i)) << "launch " << i;
  }
}

#else

TEST(NcclTest, NeedsAGpu) { GTEST_SKIP() << "built without CUDA (bazel build --config=cuda)"; }

#endif

}  // namespace
}  // namespace finetune
