// Tests the decisions of a run that depend on its validations, as a user sees them: early stopping,
// the schedule plateau, and the best checkpoints. Runs the programs under mpirun.

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/observe/run_status.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// An epoch has 5 iterations, and the run 3 epochs with a validation each.
class ValidationDecisionsTest : public TrainingTest {
 protected:
  void SetUp() override {
    TrainingTest::SetUp();
    WriteResNet();
  }

  std::vector<nlohmann::json> RecordsOf(const std::string& work_dir,
                                        const std::string& mode) const {
    std::vector<nlohmann::json> found;
    for (const nlohmann::json& record : Records(work_dir)) {
      if (record["mode"] == mode) found.push_back(record);
    }
    return found;
  }

  // Returns the names of the checkpoints' files, without the aliases.
  std::set<std::string> Checkpoints(const std::string& work_dir) const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(absl::StrCat(folder_, "/", work_dir))) {
      const std::string name = entry.path().filename().string();
      if (entry.path().extension() == ".pth" && !entry.is_symlink()) names.insert(name);
    }
    return names;
  }
};

// No accuracy is better than another one by more than 1. So the first validation stays the best.
constexpr char kStopsAfterTheSecond[] =
    "--set='schedule.early_stopping={patience: 1 min_delta: 1}' ";

TEST_F(ValidationDecisionsTest, EarlyStoppingEndsTheRunAsACompleteOne) {
  const Outcome run = Run(Mpirun(2, "run", kStopsAfterTheSecond));
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, HasSubstr("stopped early after iteration 10, because the last "
                                    "validation found no better top1 than "));
  EXPECT_THAT(run.output, HasSubstr("after iteration 5 (schedule.early_stopping)"));
  EXPECT_EQ(Losses("run").size(), 10u);
  EXPECT_TRUE(fs::exists(folder_ + "/run/epoch_2.pth"));

  const auto ends = RecordsOf("run", "end");
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0]["iteration"], 10);
  const auto status = ReadRunStatus(folder_ + "/run");
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->state, RunState::kDone);
  EXPECT_EQ(status->reason, ends[0]["reason"].get<std::string>());
  EXPECT_THAT(*ReadFile(folder_ + "/run/report.html"), HasSubstr("Stopped early"));
  const Outcome watch = Run(absl::StrCat(finetune_, " watch ", folder_, "/run"));
  EXPECT_EQ(watch.exit_code, 0);
  EXPECT_THAT(watch.output, HasSubstr("reason      stopped early after iteration 10"));
}

TEST_F(ValidationDecisionsTest, ARunThatStoppedEarlyIsOverUntilItHasMorePatience) {
  TrainToEnd(2, "run", kStopsAfterTheSecond);
  const auto before = fs::last_write_time(folder_ + "/run/epoch_2.pth");
  const std::string again =
      TrainToEnd(2, "run", absl::StrCat(kStopsAfterTheSecond, "--resume=auto"));
  EXPECT_THAT(again, HasSubstr("the run is over: stopped early after iteration 10"));
  EXPECT_THAT(again, HasSubstr("raise schedule.early_stopping.patience"));
  EXPECT_EQ(Losses("run").size(), 10u);
  EXPECT_EQ(fs::last_write_time(folder_ + "/run/epoch_2.pth"), before);
  EXPECT_EQ(ReadRunStatus(folder_ + "/run")->state, RunState::kDone);
  EXPECT_THAT(ReadRunStatus(folder_ + "/run")->reason, HasSubstr("stopped early"));

  TrainToEnd(2, "run", "--resume=auto --set='schedule.early_stopping={patience: 3 min_delta: 1}'");
  EXPECT_EQ(ReadRunStatus(folder_ + "/run")->reason, "");
  TrainToEnd(2, "whole");
  ExpectSameCheckpoints("whole/epoch_3.pth", "run/epoch_3.pth");
}

// The count of validations without improvement is in the checkpoint.
TEST_F(ValidationDecisionsTest, AResumedRunStopsAtTheSameIteration) {
  const std::string patience = "--set='schedule.early_stopping={patience: 2 min_delta: 1}' ";
  const std::string longer = patience + "--set=schedule.max_epochs=5 ";
  TrainToEnd(2, "whole", longer);
  EXPECT_EQ(Losses("whole").size(), 15u);
  TrainToEnd(2, "parts", longer + "--max_iterations=10");
  EXPECT_THAT(TrainToEnd(2, "parts", longer + "--resume=auto"),
              HasSubstr("stopped early after iteration 15"));
  ExpectSameCheckpoints("whole/epoch_3.pth", "parts/epoch_3.pth");
}

TEST_F(ValidationDecisionsTest, PlateauLowersTheRateAndResumesBitForBit) {
  const std::string plateau =
      "--set='schedule.plateau={metric: TOP1 patience: 0 factor: 0.5 threshold: 1 "
      "threshold_mode: ABSOLUTE}' --set=schedule.max_epochs=4 ";
  EXPECT_THAT(TrainToEnd(2, "whole", plateau),
              HasSubstr("schedule.plateau: top1 does not improve; the learning rate is now 0.025"));
  std::vector<double> rates;
  for (const nlohmann::json& record : RecordsOf("whole", "train")) {
    if (record["iteration"].get<int>() % 5 == 1) rates.push_back(record["lr"]);
  }
  EXPECT_THAT(rates, ElementsAre(0.05, 0.05, 0.025, 0.0125));
  TrainToEnd(2, "parts", plateau + "--max_iterations=10");
  TrainToEnd(2, "parts", plateau + "--resume=auto");
  ExpectSameCheckpoints("whole/epoch_4.pth", "parts/epoch_4.pth");
}

TEST_F(ValidationDecisionsTest, KeepsTheBestCheckpointsByTheChosenMetric) {
  const std::string best =
      "--set=schedule.max_epochs=5 --set='runtime.checkpoint={keep_last: 1 best_metric: LOSS "
      "keep_best: 2}' ";
  TrainToEnd(2, "run", best + "--max_iterations=15");
  TrainToEnd(2, "run", best + "--resume=auto");
  std::vector<std::pair<double, int>> losses;  // and epochs
  for (const nlohmann::json& record : RecordsOf("run", "val")) {
    losses.emplace_back(record["loss"], record["epoch"]);
  }
  ASSERT_EQ(losses.size(), 5u);
  std::sort(losses.begin(), losses.end());
  const auto name = [&](size_t i) { return absl::StrCat("epoch_", losses[i].second, ".pth"); };
  const std::set<std::string> expected = {name(0), name(1), "epoch_5.pth"};
  EXPECT_EQ(Checkpoints("run"), expected);
  EXPECT_EQ(fs::read_symlink(folder_ + "/run/best.pth"), name(0));
  const auto status = ReadRunStatus(folder_ + "/run");
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->best->metric, "loss");
  EXPECT_NEAR(status->best->value, losses[0].first, 1e-6);
}

TEST_F(ValidationDecisionsTest, RecordsHaveTheMetricThatDecides) {
  TrainToEnd(1, "run", "--set=runtime.checkpoint.best_metric=MACRO_F1 --max_iterations=5");
  const auto validations = RecordsOf("run", "val");
  ASSERT_EQ(validations.size(), 1u);
  EXPECT_TRUE(validations[0]["accuracy"].contains("macro_f1")) << validations[0];
  EXPECT_EQ(ReadRunStatus(folder_ + "/run")->best->metric, "macro_f1");
}

// What was the best by one metric says nothing about another one.
TEST_F(ValidationDecisionsTest, AnotherMetricBeginsAnew) {
  TrainToEnd(1, "run", "--max_iterations=5");
  const std::string resumed = TrainToEnd(
      1, "run", "--max_iterations=10 --resume=auto --set=runtime.checkpoint.best_metric=LOSS");
  EXPECT_THAT(resumed, HasSubstr("the checkpoint's run decided about runtime.checkpoint by top1, "
                                 "and this one by loss: it begins anew"));
  EXPECT_EQ(fs::read_symlink(folder_ + "/run/best.pth"), "epoch_2.pth");
}

// These optimizers have no state but their tensors and the iteration.
TEST_F(ValidationDecisionsTest, LarsLambAndRmsPropResumeBitForBit) {
  const std::pair<const char*, const char*> kinds[] = {
      {"lars", "lr: 0.05"},
      {"lamb", "lr: 0.05"},
      {"rmsprop", "lr: 0.001 momentum: 0.9 centered: true origin: TENSORFLOW"}};
  for (const auto& [kind_name, settings] : kinds) {
    const std::string kind = kind_name;
    const std::string optimizer = absl::StrCat("--set='optimizer.", kind, "={", settings,
                                               " weight_decay: 0.01}' "
                                               "--set=optimizer.decay_norm_and_bias=false ");
    TrainToEnd(2, kind + "_whole", optimizer);
    TrainToEnd(2, kind + "_parts", optimizer + "--max_iterations=7");
    TrainToEnd(2, kind + "_parts", optimizer + "--resume=auto");
    ExpectSameCheckpoints(kind + "_whole/epoch_3.pth", kind + "_parts/epoch_3.pth");
  }
}

TEST_F(ValidationDecisionsTest, TrainsWithEachLoss) {
  const std::string mixup = "--set='data.train.batch_transform={mixup {alpha: 0.2}}' ";
  for (const std::string& flags :
       {mixup + "--set='model.head.bce={target_threshold: 0.2}' ",
        std::string(
            "--set='model.head.bce={sum_classes: true}' --set=model.head.label_smoothing=0.1"),
        std::string(
            "--set='model.head.focal={}' --set='model.head.class_weights={rule: BALANCED}'")}) {
    const Outcome run = Run(Mpirun(2, "run", flags + " --overwrite"));
    EXPECT_EQ(run.exit_code, 0) << run.output;
  }
  const Outcome refused = Run(Mpirun(1, "other", mixup + "--set='model.head.focal={}'"));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.output, HasSubstr("data.train.batch_transform: mixes labels, and "
                                        "model.head.focal (--set=model.head.focal={}"));
}

}  // namespace
}  // namespace finetune
