// Tests the learning-rate range test and the search for a micro-batch on several ranks. Runs under
// mpirun.
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/comm/create_communicator.h"
#include "src/comm/single_communicator.h"
#include "src/tune/batch.h"
#include "src/tune/lr.h"
#include "tests/mpi_main.h"
#include "tests/small_run.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

class TuneTest : public testing::Test {
 protected:
  void SetUp() override {
    auto comm = CreateCommunicator(TestSession(), CommConfig(), RuntimeConfig::CPU, {});
    ASSERT_TRUE(comm.ok()) << comm.status();
    comm_ = *std::move(comm);
    folder_ = MakeSharedSmallRun({.images = 36, .batch = 18, .epochs = 4}, comm_.get());
  }
  void TearDown() override { ASSERT_TRUE(comm_->Barrier().ok()); }

  // Runs the range test. Fails the test where that is not possible.
  std::vector<LrPoint> Curve(const std::vector<std::string>& settings, const LrTestOptions& options,
                             Communicator* comm) {
    const auto loaded = LoadSmallRun(folder_, settings);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    if (!loaded.ok()) return {};
    const auto result = TestLearningRates(*loaded, options, comm);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? result->curve.points() : std::vector<LrPoint>();
  }

  std::unique_ptr<Communicator> comm_;
  std::string folder_;
};

constexpr LrTestOptions kTest = {.min = 1e-3, .max = 0.5, .iterations = 12};

TEST_F(TuneTest, HasTheSameCurveOnOneRankAndSeveral) {
  // One rank with a pass for each of the other's ranks computes the same sums. Mixing and a rule by
  // parameter take part as in a run.
  const std::vector<std::string> settings = {
      "data.train.batch_transform={mixup {alpha: 1}}", "optimizer.layer_decay=0.7",
      "model.head.class_weights={weight: [1, 2, 0.5]}",
      absl::StrCat("data.train.micro_batch_size=", 18 / comm_->size())};
  const std::vector<LrPoint> together = Curve(settings, kTest, comm_.get());
  const std::vector<LrPoint> again = Curve(settings, kTest, comm_.get());
  ASSERT_EQ(together.size(), 12u);
  ASSERT_EQ(again.size(), 12u);
  for (size_t i = 0; i < together.size(); ++i) EXPECT_EQ(together[i].loss, again[i].loss) << i;
  if (comm_->rank() != 0) return;
  SingleCommunicator single;
  const std::vector<LrPoint> alone = Curve(settings, kTest, &single);
  ASSERT_EQ(alone.size(), 12u);
  for (size_t i = 0; i < alone.size(); ++i) {
    EXPECT_NEAR(together[i].loss, alone[i].loss, 1e-9 * alone[i].loss) << i;
  }
}

TEST_F(TuneTest, WarmupAndAutoScaleLrDoNotChangeTheCurve) {
  const std::vector<LrPoint> plain = Curve({}, kTest, comm_.get());
  const std::vector<LrPoint> scheduled =
      Curve({"schedule.warmup={iterations: 5 start_factor: 0.1}", "schedule.base_batch_size=64",
             "schedule.auto_scale_lr=true", "optimizer.sgd.lr=7"},
            kTest, comm_.get());
  ASSERT_EQ(scheduled.size(), plain.size());
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_EQ(scheduled[i].loss, plain[i].loss) << i;
}

TEST_F(TuneTest, TakesTheOptimizerAndTheClassWeightsOfTheConfig) {
  const std::vector<LrPoint> sgd = Curve({}, kTest, comm_.get());
  const std::vector<LrPoint> adamw = Curve({"optimizer={adamw {lr: 1}}"}, kTest, comm_.get());
  const std::vector<LrPoint> weighted =
      Curve({"model.head.class_weights={weight: [2, 2, 2]}"}, kTest, comm_.get());
  ASSERT_FALSE(sgd.empty() || adamw.empty() || weighted.empty());
  // The first loss is that of the weights before any update.
  EXPECT_EQ(adamw.front().loss, sgd.front().loss);
  EXPECT_NE(adamw.back().loss, sgd.back().loss);
  EXPECT_NEAR(weighted.front().loss, 2 * sgd.front().loss, 1e-6);
}

TEST_F(TuneTest, ALossThatIsNotFiniteIsTheEndAndNotAnError) {
  const auto loaded = LoadSmallRun(folder_, {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto result = TestLearningRates(
      *loaded, {.min = 1e-2, .max = 1e18, .iterations = 20, .stop_factor = 1e6}, comm_.get());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_NE(result->curve.end(), LrTestEnd::kHighestRate);
  EXPECT_LT(result->curve.points().size(), 20u);
  for (const LrPoint& point : result->curve.points()) EXPECT_TRUE(std::isfinite(point.loss));
}

// LibTorch's memory as on a machine whose memory is full: a tensor of more than `most` bytes is
// refused.
class SmallMemory : public c10::Allocator {
 public:
  explicit SmallMemory(c10::Allocator* inner) : inner_(*inner) {}
  c10::DataPtr allocate(size_t bytes) override {
    TORCH_CHECK(bytes <= most, "DefaultCPUAllocator: can't allocate memory: you tried to allocate ",
                bytes, " bytes.");
    return inner_.allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return inner_.raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    inner_.copy_data(to, from, bytes);
  }

  std::atomic<size_t> most = SIZE_MAX;

 private:
  c10::Allocator& inner_;
};

struct Found {
  std::vector<int64_t> fitting;
  std::set<int64_t> too_large;
  std::string reason;
};

// Searches for micro-batches from 1 to 32.
Found Search(const std::string& folder, Communicator* comm) {
  Found found;
  const auto loaded = LoadSmallRun(folder, {});
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  if (!loaded.ok()) return found;
  const auto result = MeasureBatches(
      *loaded, {.from = 1, .to = 32, .iterations = 1},
      [](const BatchFacts& /*facts*/, const IterationRow& row) {
        EXPECT_GT(row.seconds, 0);
        EXPECT_GT(row.memory_mebibytes, 0);
      },
      [&](int64_t micro_batch, const std::string& reason) {
        found.too_large.insert(micro_batch);
        found.reason = reason;
      },
      comm);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return found;
  for (const PassMeasurement& pass : result->found.fitting) {
    found.fitting.push_back(pass.micro_batch);
  }
  return found;
}

// If it waited in an all-reduce for the rank whose memory is full, this test would hang.
TEST_F(TuneTest, ASizeThatDoesNotFitOnOneRankFitsOnNone) {
  // The allocator must outlive every tensor of this process.
  static auto* const memory = [] {
    auto* const made = new SmallMemory(c10::GetCPUAllocator());
    c10::SetCPUAllocator(made, /*priority=*/1);
    return made;
  }();
  // The stem's map of an image is 4x16x16 float32: 4,096 bytes. The flat parameters of 0.7 MB are
  // allocated before the limit counts.
  const int full = comm_->size() - 1;
  const auto loaded = LoadSmallRun(folder_, {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::vector<int64_t> fitting;
  std::string reason;
  const auto result = MeasureBatches(
      *loaded, {.from = 1, .to = 1024, .iterations = 1},
      [&](const BatchFacts& /*facts*/, const IterationRow& row) {
        fitting.push_back(row.micro_batch);
        if (row.micro_batch == 256 && comm_->rank() == full) memory->most = size_t{400} * 4096;
      },
      [&](int64_t /*micro_batch*/, const std::string& why) { reason = why; }, comm_.get());
  memory->most = SIZE_MAX;
  ASSERT_TRUE(result.ok()) << result.status();
  const int64_t largest = result->found.fitting.back().micro_batch;
  EXPECT_GE(largest, 256);
  EXPECT_LE(largest, 400);
  ASSERT_TRUE(result->found.too_large.has_value());
  EXPECT_GT(*result->found.too_large, 375);
  EXPECT_THAT(reason, HasSubstr("out of memory"));
  if (comm_->size() > 1) {
    EXPECT_THAT(reason, HasSubstr(absl::StrCat("rank ", full)));
  }
  // Sizes after the failure were measured, with all ranks in step.
  EXPECT_GT(fitting.size(), 10u);
}

TEST_F(TuneTest, MeasuresEverySizeThatFits) {
  const Found found = Search(folder_, comm_.get());
  const int64_t rank_batch = 18 / comm_->size();
  const std::set<int64_t> sizes(found.fitting.begin(), found.fitting.end());
  EXPECT_TRUE(sizes.contains(32));
  EXPECT_TRUE(sizes.contains(rank_batch));
  EXPECT_TRUE(found.too_large.empty()) << found.reason;
}

}  // namespace
}  // namespace finetune
