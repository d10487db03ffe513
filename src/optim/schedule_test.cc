#include "src/optim/schedule.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/testing/errors_of.h"
#include "src/testing/from_text.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<Problem> ErrorsOf(const std::string& text) {
  return finetune::ErrorsOf(CheckSchedule, "schedule", text);
}

// Compares the rates with those of torch.optim.lr_scheduler for a base rate of 0.1, which
// tests/fixtures/optim/make_fixtures.py printed.
void ExpectRates(const std::string& text, int64_t iterations_per_epoch,
                 const std::vector<double>& expected) {
  const LearningRateSchedule schedule(FromText<ScheduleConfig>(text), 0.1, iterations_per_epoch);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(schedule.At(static_cast<int64_t>(i)), expected[i], 1e-12) << "iteration " << i;
  }
}

TEST(Schedule, MultiStepByIterationIsPyTorchs) {
  ExpectRates(
      "max_iterations: 6 multi_step { milestones: 2 milestones: 4 gamma: 0.1 unit: ITERATION }",
      100, {0.1, 0.1, 0.01, 0.01, 0.001, 0.001});
}

TEST(Schedule, MultiStepByEpochFallsAtTheEpochsFirstIteration) {
  ExpectRates("max_epochs: 3 multi_step { milestones: 1 milestones: 2 gamma: 0.5 }", 2,
              {0.1, 0.1, 0.05, 0.05, 0.025, 0.025});
}

TEST(Schedule, CosineIsPyTorchs) {
  ExpectRates("max_iterations: 8 cosine { min_lr: 0.01 }", 100,
              {0.1, 0.0965745789630079, 0.08681980515339463, 0.07222075445642905, 0.055,
               0.03777924554357096, 0.023180194846605363, 0.013425421036992097});
}

TEST(Schedule, CosineByEpochStaysWithinAnEpoch) {
  ExpectRates("max_epochs: 2 cosine { unit: EPOCH }", 2, {0.1, 0.1, 0.05, 0.05});
}

TEST(Schedule, WarmupIsPyTorchsLinearLr) {
  ExpectRates("max_iterations: 6 constant {} warmup { iterations: 4 start_factor: 0.25 }", 100,
              {0.025, 0.04375, 0.0625, 0.08125, 0.1, 0.1});
}

TEST(Schedule, WarmupByEpochsCountsTheirIterations) {
  ExpectRates("max_epochs: 3 warmup { epochs: 1 start_factor: 0.5 }", 2, {0.05, 0.075, 0.1, 0.1});
}

TEST(Schedule, LengthInEpochsOrIterations) {
  EXPECT_EQ(
      LearningRateSchedule(FromText<ScheduleConfig>("max_epochs: 3"), 1, 7).total_iterations(), 21);
  EXPECT_EQ(
      LearningRateSchedule(FromText<ScheduleConfig>("max_iterations: 5"), 1, 7).total_iterations(),
      5);
}

TEST(Schedule, AutoScaleFollowsTheLinearRule) {
  EXPECT_DOUBLE_EQ(
      ScaledLearningRate(FromText<ScheduleConfig>("base_batch_size: 128 auto_scale_lr: true"), 0.1,
                         16),
      0.0125);
  EXPECT_DOUBLE_EQ(ScaledLearningRate(FromText<ScheduleConfig>("base_batch_size: 128"), 0.1, 16),
                   0.1);
  EXPECT_DOUBLE_EQ(ScaledLearningRate(FromText<ScheduleConfig>("auto_scale_lr: true"), 0.1, 16),
                   0.1);
}

TEST(Schedule, CheckAcceptsCompleteConfigs) {
  EXPECT_THAT(ErrorsOf("max_epochs: 3 multi_step { milestones: [1, 2] } warmup { iterations: 5 } "
                       "base_batch_size: 128 auto_scale_lr: true val_interval_iterations: 1"),
              IsEmpty());
  // The milestone counts epochs and the run's length iterations. CheckSchedule() does not know how
  // many iterations an epoch has, so it cannot compare them.
  EXPECT_THAT(ErrorsOf("max_iterations: 5 multi_step { milestones: 10 }"), IsEmpty());
  EXPECT_THAT(ErrorsOf("max_iterations: 1 cosine {} val_interval_epochs: 0"), IsEmpty());
}

TEST(Schedule, CheckReportsEveryFieldThatIsWrong) {
  EXPECT_THAT(
      ErrorsOf("multi_step { milestones: [3, 2] gamma: 0 } warmup { epochs: -1 start_factor: 2 } "
               "auto_scale_lr: true val_interval_epochs: -1 val_interval_iterations: 0"),
      ElementsAre(
          Problem{"schedule.max_epochs",
                  "is not set, nor is max_iterations; the run has no length"},
          Problem{"schedule.multi_step.milestones[1]", "is 2 after 3; expected rising numbers"},
          Problem{"schedule.multi_step.gamma", "is 0; expected more than 0"},
          Problem{"schedule.warmup.start_factor", "is 2; expected 0 to 1"},
          Problem{"schedule.warmup.epochs", "is -1; expected 0 or more"},
          Problem{"schedule.val_interval_epochs", "is -1; expected 0 or more"},
          Problem{"schedule.val_interval_iterations", "is 0; expected 1 or more"},
          Problem{"schedule.auto_scale_lr", "needs schedule.base_batch_size, which is not set"}));
  EXPECT_THAT(
      ErrorsOf(
          "max_epochs: 2 multi_step { milestones: 2 } warmup { epochs: 2 } base_batch_size: 0"),
      ElementsAre(
          Problem{"schedule.multi_step.milestones[0]",
                  "is 2; the run ends after epoch 2 and would never reach it"},
          Problem{"schedule.warmup.epochs", "is 2; the run ends after epoch 2, before it is warm"},
          Problem{"schedule.base_batch_size", "is 0; expected 1 or more"}));
  EXPECT_THAT(ErrorsOf("max_iterations: 0 cosine { min_lr: -1 } warmup { iterations: -5 }"),
              ElementsAre(Problem{"schedule.max_iterations", "is 0; expected 1 or more"},
                          Problem{"schedule.cosine.min_lr", "is -1; expected 0 or more"},
                          Problem{"schedule.warmup.iterations", "is -5; expected 0 or more"}));
}

}  // namespace
}  // namespace finetune
