// Tests the calls that a run makes to a GPU, on a CPU that imitates one (tests/fake_gpu.h). No call
// in a step waits until the GPU has done all its work; copies and events come in the right order;
// pinned memory is used again; recorded steps are right for a last batch of any size.
#include <google/protobuf/text_format.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/test_folder.h"
#include "src/comm/single_communicator.h"
#include "src/data/dataset.h"
#include "src/data/loader.h"
#include "src/train/device.h"
#include "tests/cpu_graph.h"
#include "tests/fake_gpu.h"
#include "tests/same_bits.h"
#include "tests/small_run.h"

namespace finetune {
namespace {

using Kind = FakeGpu::Kind;

// Returns how many more calls a run of `first` + `more` iterations makes than a run of `first`
// iterations. These are the calls of `more` iterations, without those of a run's start and end.
FakeGpu::Counts CountsOfIterations(int64_t first, int64_t more,
                                   const std::vector<std::string>& settings) {
  const std::string folder = EmptyTestFolder();
  EXPECT_TRUE(MakeSmallRun(folder, {.images = 120, .batch = 4, .epochs = 4}).ok());
  std::vector<std::string> all = {"runtime.log_interval=1000", "schedule.val_interval_epochs=0"};
  all.insert(all.end(), settings.begin(), settings.end());
  SingleCommunicator gpu(0);
  const auto run = [&](const char* name, int64_t iterations) {
    const FakeGpu::Counts before = FakeGpu::counts();
    TrainSmallRun(folder, name, all, &gpu, {.iterations = iterations, .resume = ""});
    return FakeGpu::counts() - before;
  };
  // The first run in a process allocates memory that the later runs use again.
  run("warm_up", first);
  const FakeGpu::Counts shorter = run("shorter", first);
  const FakeGpu::Counts longer = run("longer", first + more);
  return longer - shorter;
}

class StepTest : public testing::TestWithParam<std::string> {};

TEST_P(StepTest, WaitsForNothingThatTheGpuWasJustGiven) {
  const FakeGpu::Counts counts = CountsOfIterations(8, 12, {GetParam()});
  EXPECT_EQ(counts.synchronising, 0);
  // Each iteration waits for the copies of the previous batch and for the loss of the previous
  // iteration.
  EXPECT_EQ(counts.event_waits, 2 * 12);
}

INSTANTIATE_TEST_SUITE_P(All, StepTest,
                         testing::Values("runtime.cuda_graph=false", "runtime.cuda_graph=true",
                                         "data.train.micro_batch_size=3",
                                         "model.backbone.frozen_stages=2",
                                         "optimizer.adamw={lr: 0.001}",
                                         "data.train.batch_transform={mixup {alpha: 1}}"));

TEST(StepTest, ClippingReadsTheGradientsNormOnceAndNothingElse) {
  const FakeGpu::Counts counts =
      CountsOfIterations(8, 12, {"optimizer.clip_gradient={max_norm: 1}"});
  EXPECT_EQ(counts.synchronising, 12);
}

TEST(StepTest, PinnedMemoryIsUsedAgain) {
  const FakeGpu::Counts counts = CountsOfIterations(8, 12, {});
  // The one request of an iteration is for the loss.
  EXPECT_EQ(counts.pinned_requests, 12);
  EXPECT_EQ(counts.pinned_allocations, 0);
}

TEST(DeviceBatchesTest, ABatchIsCopiedBeforeItsMemoryIsFilledAgain) {
  const std::string folder = EmptyTestFolder();
  ASSERT_TRUE(MakeSmallRun(folder, {.images = 40, .batch = 16}).ok());
  SplitConfig split;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "total_batch_size: 16 prefetch: 2 pipeline { random_flip {} } pipeline { normalize {} }",
      &split));
  auto data = Dataset::Open(folder + "/data", "train");
  ASSERT_TRUE(data.ok()) << data.status();
  LoaderOptions options;
  options.stored = options.pinned = true;
  auto loader = BatchLoader::Create(*std::move(data), split, options);
  ASSERT_TRUE(loader.ok()) << loader.status();
  DeviceBatches batches(loader->get(), at::Device(at::kCUDA, 0));

  std::set<const void*> images;
  int64_t copied = 0;
  FakeGpu::TakeEntries();
  const int64_t before = FakeGpu::counts().synchronising;
  constexpr int kBatches = 12;
  for (int i = 0; i < kBatches; ++i) {
    const auto batch = batches.Next();
    ASSERT_TRUE(batch.ok()) << batch.status();
    EXPECT_TRUE(batch->images.is_cuda() && batch->draws.is_cuda() && batch->labels.is_cuda());
    std::vector<FakeGpu::Entry> entries = FakeGpu::TakeEntries();
    if (i > 0) {
      // The loader may reuse the last batch's memory only after the event that follows its copies.
      ASSERT_FALSE(entries.empty());
      EXPECT_EQ(entries.front(), (FakeGpu::Entry{Kind::kHostWaits, nullptr, copied}));
      entries.erase(entries.begin());
    }
    ASSERT_EQ(entries.size(), 4U);
    for (int k = 0; k < 3; ++k) EXPECT_EQ(entries[k].kind, Kind::kCopyIn);
    EXPECT_EQ(entries[3].kind, Kind::kRecord);
    images.insert(entries[0].host);
    copied = entries[3].event;
  }
  EXPECT_EQ(FakeGpu::counts().synchronising, before);
  // There is a slot for each batch that is being loaded and one for the batch in use.
  EXPECT_EQ(images.size(), 3U);
}

class LastBatchTest : public testing::TestWithParam<int> {};

TEST_P(LastBatchTest, OfAnySizeTrainsToTheSameBitsBesideRecordedSteps) {
  const std::string folder = EmptyTestFolder();
  constexpr int kBatch = 4, kEpochs = 4;
  ASSERT_TRUE(
      MakeSmallRun(folder, {.images = 3 * kBatch + GetParam(), .batch = kBatch, .epochs = kEpochs})
          .ok());
  SingleCommunicator gpu(0);
  const TensorList expected = TrainSmallRun(folder, "one_by_one", {}, &gpu);
  const int64_t before = CpuGraphReplays();
  const TensorList recorded = TrainSmallRun(folder, "recorded", {"runtime.cuda_graph=true"}, &gpu);
  // All whole batches are replayed, except the first three.
  EXPECT_EQ(CpuGraphReplays() - before, 3 * kEpochs - 3);
  ASSERT_FALSE(expected.empty());
  ExpectSameBits(recorded, expected);
}

INSTANTIATE_TEST_SUITE_P(Sizes, LastBatchTest, testing::Values(0, 1, 2, 3));

}  // namespace
}  // namespace finetune
