// Tests steps that are recorded and launched as a whole (runtime.cuda_graph). Runs under mpirun.
// The device is a CPU that can record too (tests/cpu_graph.h), or GPU 0, which several ranks share
// (TestDevice()).
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "src/comm/create_communicator.h"
#include "src/comm/replay_communicator.h"
#include "src/train/device.h"
#include "src/train/step_graph.h"
#include "tests/cpu_graph.h"
#include "tests/mpi_main.h"
#include "tests/same_bits.h"
#include "tests/small_run.h"
#include "tests/staged_communicator.h"
#include "tests/test_device.h"

namespace finetune {
namespace {

constexpr int kEpochs = 4;

std::unique_ptr<Communicator> Comm() {
  CommConfig config;
  config.set_timeout_seconds(60);
  // The buckets are small, so that many all-reduces start in the middle of backward.
  config.set_first_bucket_mebibytes(0.001);
  config.set_bucket_mebibytes(0.02);
  auto comm = CreateCommunicator(TestSession(), config, RuntimeConfig::CPU, {});
  EXPECT_TRUE(comm.ok()) << comm.status();
  if (TestDevice().is_cpu()) return *std::move(comm);
  return std::make_unique<StagedCommunicator>(*std::move(comm));
}

class RecordedSteps : public testing::TestWithParam<std::string> {};

TEST_P(RecordedSteps, TrainToTheSameBits) {
  const std::unique_ptr<Communicator> comm = Comm();
  const std::string folder =
      MakeSharedSmallRun({.images = 40, .batch = 16, .epochs = kEpochs}, comm.get());

  std::vector<std::string> settings;
  if (!GetParam().empty()) settings.push_back(GetParam());
  const TensorList expected = TrainSmallRun(folder, "one_by_one", settings, comm.get());
  const int64_t before = CpuGraphReplays();
  settings.emplace_back("runtime.cuda_graph=true");
  const TensorList recorded = TrainSmallRun(folder, "recorded", settings, comm.get());
  // Each epoch has two whole batches and a smaller one. The first three whole batches are not
  // replayed.
  if (TestDevice().is_cpu()) {
    EXPECT_EQ(CpuGraphReplays() - before, 2 * kEpochs - 3);
  }
  ExpectSameBits(recorded, expected);
  ASSERT_TRUE(comm->Barrier().ok());
}

INSTANTIATE_TEST_SUITE_P(All, RecordedSteps,
                         testing::Values("", "data.train.micro_batch_size=3",
                                         "optimizer.clip_gradient={max_norm: 0.1}",
                                         "data.train.batch_transform={mixup {alpha: 1}}",
                                         "runtime.precision=BFLOAT16"));

// Each launch must read its own batch and all-reduce its own values.
TEST(StepGraph, EachLaunchHasItsBatchAndItsSums) {
  const std::unique_ptr<Communicator> comm = Comm();
  ReplayCommunicator replayed(comm.get());
  std::optional<OwnStream> stream;
  if (!TestDevice().is_cpu()) stream.emplace(TestDevice().index());
  const at::TensorOptions options(TestDevice());
  StepGraph graph(TestDevice(), &replayed);
  const at::Tensor sum = at::zeros({2}, options);
  std::unique_ptr<Communicator::Work> work;
  const auto passes = [&](const Batch& batch) {
    sum.copy_(batch.images.sum() + batch.draws.sum());
    auto started = replayed.AllReduceSum(sum);
    EXPECT_TRUE(started.ok()) << started.status();
    work = *std::move(started);
    return batch.labels.sum() * 2;
  };
  for (int i = 0; i < 6; ++i) {
    Batch batch;
    batch.images = at::zeros({1, 1, 2, 2}, options) + i;
    batch.draws = at::zeros({1, 2}, options.dtype(at::kLong)) + 100 * i;
    batch.labels = at::zeros({1}, options.dtype(at::kLong)) + 10 * i + comm->rank();
    const auto result = graph.Run(batch, passes);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->item<int64_t>(), 2 * (10 * i + comm->rank()));
    ASSERT_TRUE(work->Wait().ok());
    EXPECT_EQ(sum[0].item<float>(), static_cast<float>(204 * i * comm->size())) << i;
  }
}

}  // namespace
}  // namespace finetune
