// Runs under mpirun. Tests a run that keeps a moving average of its weights (optimizer.ema).
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/allclose.h>

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "src/base/status_macros.h"
#include "src/checkpoint/reader.h"
#include "src/comm/create_communicator.h"
#include "src/metrics/accuracy.h"
#include "src/train/evaluate_checkpoint.h"
#include "src/train/train.h"
#include "tests/mpi_main.h"
#include "tests/same_bits.h"
#include "tests/small_run.h"

namespace finetune {
namespace {

constexpr char kAveraged[] = "state_dict_ema";

class EmaTest : public testing::Test {
 protected:
  void SetUp() override {
    auto comm = CreateCommunicator(TestSession(), CommConfig(), RuntimeConfig::CPU, {});
    ASSERT_TRUE(comm.ok()) << comm.status();
    comm_ = *std::move(comm);
    // An epoch has 3 iterations.
    folder_ = MakeSharedSmallRun({.images = 40, .batch = 16, .epochs = 4}, comm_.get());
  }
  void TearDown() override { ASSERT_TRUE(comm_->Barrier().ok()); }

  // Returns the state dict `key` of the checkpoint `name` of the run `run`.
  TensorList Read(const std::string& run, const std::string& name, const std::string& key) const {
    const auto state = ReadStateDict(absl::StrCat(folder_, "/", run, "/", name), key);
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? state->tensors : TensorList();
  }

  std::unique_ptr<Communicator> comm_;
  std::string folder_;
};

TEST_F(EmaTest, IsTheAverageOfEveryIterationsWeightsAndStatistics) {
  TrainSmallRun(folder_, "run",
                {"optimizer.ema={decay: 0.7}",
                 "runtime.checkpoint={interval_iterations: 1 "
                 "keep_last: 0}"},
                comm_.get(), {.iterations = 6, .resume = ""});
  const std::vector<std::string> names = {"iter_1.pth", "iter_2.pth", "epoch_1.pth",
                                          "iter_4.pth", "iter_5.pth", "epoch_2.pth"};
  std::vector<at::Tensor> expected;
  for (const std::string& name : names) {
    const TensorList raw = Read("run", name, "state_dict"), found = Read("run", name, kAveraged);
    ASSERT_GT(raw.size(), 50u);
    ASSERT_EQ(found.size(), raw.size());
    const bool is_first = expected.empty();
    for (size_t i = 0; i < raw.size(); ++i) {
      ASSERT_EQ(found[i].name, raw[i].name);
      if (is_first) expected.push_back(raw[i].tensor.clone());
      // Counters, such as num_batches_tracked, are not averaged.
      if (!raw[i].tensor.is_floating_point()) continue;
      if (!is_first) expected[i] += 0.3 * (raw[i].tensor - expected[i]);
      EXPECT_TRUE(at::allclose(found[i].tensor, expected[i], 1e-5, 1e-6)) << name << raw[i].name;
    }
  }
}

TEST_F(EmaTest, DoesNotChangeTheTraining) {
  const TensorList plain = TrainSmallRun(folder_, "plain", {}, comm_.get());
  TrainSmallRun(folder_, "run", {"optimizer.ema={decay: 0.7}"}, comm_.get());
  ExpectSameBits(Read("run", "latest.pth", "state_dict"), plain);
}

TEST_F(EmaTest, ResumesBitForBit) {
  const std::vector<std::string> ema = {"optimizer.ema={decay: 0.9 warmup {}}"};
  TrainSmallRun(folder_, "whole", ema, comm_.get());
  TrainSmallRun(folder_, "parts", ema, comm_.get(), {.iterations = 2, .resume = ""});
  TrainSmallRun(folder_, "parts", ema, comm_.get(), {.iterations = 0, .resume = "auto"});
  for (const char* key : {"state_dict", kAveraged}) {
    ExpectSameBits(Read("parts", "latest.pth", key), Read("whole", "latest.pth", key));
  }
}

// The checkpoint is from before optimizer.ema was set.
TEST_F(EmaTest, StartsAtTheWeightsOfACheckpointWithoutAverage) {
  const TensorList before =
      TrainSmallRun(folder_, "run", {}, comm_.get(), {.iterations = 3, .resume = ""});
  const TensorList after = TrainSmallRun(folder_, "run", {"optimizer.ema={decay: 0.75}"},
                                         comm_.get(), {.iterations = 4, .resume = "auto"});
  const TensorList average = Read("run", "latest.pth", kAveraged);
  ASSERT_EQ(average.size(), before.size());
  for (size_t i = 0; i < average.size(); ++i) {
    if (!average[i].tensor.is_floating_point()) continue;
    EXPECT_TRUE(at::allclose(average[i].tensor,
                             before[i].tensor + 0.25 * (after[i].tensor - before[i].tensor), 1e-5,
                             1e-6))
        << average[i].name;
  }
}

TEST_F(EmaTest, GoesOnWithoutTheAverageWhereTheConfigHasNone) {
  TrainSmallRun(folder_, "run", {"optimizer.ema={decay: 0.7}"}, comm_.get(),
                {.iterations = 3, .resume = ""});
  const TensorList end =
      TrainSmallRun(folder_, "run", {}, comm_.get(), {.iterations = 0, .resume = "auto"});
  ExpectSameBits(end, TrainSmallRun(folder_, "plain", {}, comm_.get()));
  const auto gone = ReadStateDict(folder_ + "/run/latest.pth", kAveraged);
  EXPECT_FALSE(gone.ok());
}

TEST_F(EmaTest, ValidationAndEvaluationTakeTheAverageUnlessToldOtherwise) {
  const auto loaded = LoadSmallRun(folder_, {"optimizer.ema={decay: 0.95}"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  TrainOptions options;
  options.work_dir = folder_ + "/run";
  const auto trained = Train(*loaded, options, comm_.get());
  ASSERT_TRUE(trained.ok()) << trained.status();
  ASSERT_TRUE(trained->last.has_value());
  const auto loss = [&](const std::string& weights) {
    EvaluateOptions evaluate;
    evaluate.checkpoint = folder_ + "/run/latest.pth";
    evaluate.weights.weights = weights;
    const auto evaluation = EvaluateCheckpoint(*loaded, evaluate, comm_.get());
    EXPECT_TRUE(evaluation.ok()) << evaluation.status();
    return evaluation.ok() ? MeanLoss(evaluation->predictions) : 0;
  };
  const double averaged = loss("ema"), raw = loss("raw");
  EXPECT_NEAR(trained->last->loss, averaged, 1e-5);
  EXPECT_EQ(loss(""), averaged);
  EXPECT_GT(std::abs(raw - averaged), 1e-3);
}

}  // namespace
}  // namespace finetune
