// Runs under mpirun. Tests a run that keeps an average of its weights (optimizer.ema,
// optimizer.swa).
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "src/base/status_macros.h"
#include "src/checkpoint/reader.h"
#include "src/comm/create_communicator.h"
#include "src/metrics/accuracy.h"
#include "src/model/load.h"
#include "src/train/evaluate_checkpoint.h"
#include "src/train/setup.h"
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

// An average of epochs (optimizer.swa). An epoch has 3 iterations and the run 4 epochs.
TEST_F(EmaTest, OfEpochsIsTheMeanOfTheirWeights) {
  TrainSmallRun(folder_, "run",
                {"optimizer.swa={first_epoch: 2}", "runtime.checkpoint.keep_last=0"}, comm_.get());
  EXPECT_FALSE(ReadStateDict(folder_ + "/run/epoch_1.pth", kAveraged).ok());
  const TensorList second = Read("run", "epoch_2.pth", "state_dict"),
                   third = Read("run", "epoch_3.pth", "state_dict"),
                   last = Read("run", "epoch_4.pth", "state_dict");
  ExpectSameBits(Read("run", "epoch_2.pth", kAveraged), second);
  const TensorList after_third = Read("run", "epoch_3.pth", kAveraged),
                   after_last = Read("run", "epoch_4.pth", kAveraged);
  ASSERT_EQ(after_last.size(), last.size());
  for (size_t i = 0; i < last.size(); ++i) {
    if (!last[i].tensor.is_floating_point()) {
      // Counters are those of the run.
      EXPECT_TRUE(after_last[i].tensor.equal(last[i].tensor)) << last[i].name;
      continue;
    }
    const at::Tensor two = second[i].tensor + third[i].tensor;
    EXPECT_TRUE(at::allclose(after_third[i].tensor, two / 2, 1e-5, 1e-6)) << last[i].name;
    const bool is_mean = at::allclose(after_last[i].tensor, (two + last[i].tensor) / 3, 1e-5, 1e-6);
    // The last checkpoint has statistics of the averaged weights instead of the epochs' mean. Those
    // of the stem, which is frozen, never change.
    const bool is_computed = absl::StrContains(last[i].name, "running_") &&
                             !absl::StartsWith(last[i].name, "backbone.bn1.");
    EXPECT_EQ(is_mean, !is_computed) << last[i].name;
  }
}

TEST_F(EmaTest, OfEpochsDoesNotChangeTheTraining) {
  const TensorList plain = TrainSmallRun(folder_, "plain", {}, comm_.get());
  TrainSmallRun(folder_, "run", {"optimizer.swa={first_epoch: 2}"}, comm_.get());
  ExpectSameBits(Read("run", "latest.pth", "state_dict"), plain);
}

TEST_F(EmaTest, OfEpochsResumesBitForBit) {
  const std::vector<std::string> swa = {"optimizer.swa={first_epoch: 1 interval_epochs: 2}"};
  TrainSmallRun(folder_, "whole", swa, comm_.get());
  for (const int64_t iterations : {2, 6, 11}) {
    TrainSmallRun(folder_, "parts", swa, comm_.get(),
                  {.iterations = iterations, .resume = iterations == 2 ? "" : "auto"});
  }
  TrainSmallRun(folder_, "parts", swa, comm_.get(), {.iterations = 0, .resume = "auto"});
  for (const char* key : {"state_dict", kAveraged}) {
    ExpectSameBits(Read("parts", "latest.pth", key), Read("whole", "latest.pth", key));
  }
}

// The statistics at the end belong to the averaged weights: each is the mean over the passes of all
// ranks. This test computes it in another way: from a batch norm that forgets everything before
// each pass, its own momentum is the share of the pass.
TEST_F(EmaTest, OfEpochsEndsWithStatisticsOfTheAveragedWeights) {
  const std::vector<std::string> swa = {"optimizer.swa={first_epoch: 2 statistics_iterations: 2}"};
  TrainSmallRun(folder_, "run", swa, comm_.get());
  const auto loaded = LoadSmallRun(folder_, swa);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  auto setup =
      Prepare(*loaded, /*evaluated=*/nullptr, /*resumes=*/false, /*trace=*/nullptr, comm_.get());
  ASSERT_TRUE(setup.ok()) << setup.status();
  const TensorList found = Read("run", "latest.pth", kAveraged);
  StateDict state;
  state.tensors = found;
  ASSERT_TRUE(LoadResumed(state, setup->model.get()).ok());
  setup->model->ParametersChanged(/*all=*/true);
  setup->train->Seek(/*epoch=*/4, /*iteration=*/0);
  constexpr double kMomentum = 0.1;
  std::map<std::string, at::Tensor> sums;
  double passes[1] = {0};
  const at::NoGradGuard no_grad;
  for (int64_t i = 0; i < 2; ++i) {
    const auto batch = setup->train->Next();
    ASSERT_TRUE(batch.ok()) << batch.status();
    if (batch->indices.empty()) continue;
    for (const NamedTensor& buffer : setup->model->ChangingBuffers()) buffer.tensor.zero_();
    setup->model->Forward(
        batch->images,
        {.training = true, .iteration = 12 + i, .indices = absl::MakeConstSpan(batch->indices)});
    for (const NamedTensor& buffer : setup->model->ChangingBuffers()) {
      if (!buffer.tensor.is_floating_point()) continue;
      at::Tensor& sum = sums[buffer.name];
      const at::Tensor of_pass = buffer.tensor / kMomentum;
      sum = sum.defined() ? sum + of_pass : of_pass;
    }
    ++passes[0];
  }
  ASSERT_TRUE(comm_->AllReduceSum(absl::MakeSpan(passes)).ok());
  size_t compared = 0;
  for (const NamedTensor& tensor : found) {
    const auto sum = sums.find(tensor.name);
    if (sum == sums.end()) continue;
    auto work = comm_->AllReduceSum(sum->second);
    ASSERT_TRUE(work.ok() && (*work)->Wait().ok());
    EXPECT_TRUE(at::allclose(tensor.tensor, sum->second / passes[0], 1e-4, 1e-5)) << tensor.name;
    ++compared;
  }
  EXPECT_GT(compared, 10u);
}

TEST_F(EmaTest, OfEpochsIsValidatedAndEvaluated) {
  const auto loaded = LoadSmallRun(folder_, {"optimizer.swa={first_epoch: 1}"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  TrainOptions options;
  options.work_dir = folder_ + "/run";
  const auto trained = Train(*loaded, options, comm_.get());
  ASSERT_TRUE(trained.ok()) << trained.status();
  ASSERT_TRUE(trained->last.has_value());
  EvaluateOptions evaluate;
  evaluate.checkpoint = folder_ + "/run/latest.pth";
  const auto evaluation = EvaluateCheckpoint(*loaded, evaluate, comm_.get());
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  EXPECT_NEAR(trained->last->loss, MeanLoss(evaluation->predictions), 1e-5);
}

}  // namespace
}  // namespace finetune
