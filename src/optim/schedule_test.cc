#include "src/optim/schedule.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/testing/from_text.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<Problem> ErrorsOf(const std::string& text) {
  ProblemList list;
  CheckSchedule(FromText<ScheduleConfig>(text), 0, Problems(&list, "schedule"));
  return list.errors;
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

TEST(Schedule, PolyIsPyTorchs) {
  ExpectRates(
      "max_iterations: 5 poly { power: 0.9 }", 100,
      {0.1, 0.08180521460508584, 0.06314458674893553, 0.043838329055408694, 0.023492378861760376});
}

TEST(Schedule, PolyFallsToItsMinimumAndByEpochStaysWithinAnEpoch) {
  ExpectRates("max_epochs: 2 poly { min_lr: 0.02 unit: EPOCH }", 2, {0.1, 0.1, 0.06, 0.06});
}

TEST(Schedule, OneCycleIsPyTorchs) {
  ExpectRates("max_iterations: 10 one_cycle {}", 100,
              {0.004, 0.052, 0.1, 0.09504846320134738, 0.0811745653949763, 0.06112620219362893,
               0.03887419780637107, 0.0188258346050237, 0.004951936798652629, 4e-07});
  // The peak lies between iterations 1 and 2.
  ExpectRates(
      "max_iterations: 7 "
      "one_cycle { pct_start: 0.4 div_factor: 10 final_div_factor: 100 anneal: LINEAR }",
      100,
      {0.01, 0.06, 0.09524285714285716, 0.07145714285714286, 0.04767142857142857,
       0.023885714285714288, 0.0001});
}

TEST(Schedule, OneCycleMayOnlyRiseOrOnlyFall) {
  ExpectRates("max_iterations: 4 one_cycle { pct_start: 1 }", 100, {0.004, 0.028, 0.076, 0.1});
  ExpectRates("max_iterations: 4 one_cycle { pct_start: 0 }", 100,
              {0.08535539763797113, 0.0500002, 0.014645002362028864, 4e-07});
  ExpectRates("max_iterations: 2 one_cycle {}", 100, {0.0811745653949763, 4e-07});
}

TEST(Schedule, OneCycleOfOneRisingIterationStartsAtItsPeak) {
  ExpectRates("max_iterations: 2 one_cycle { pct_start: 0.5 }", 100, {0.1, 4e-07});
}

TEST(Schedule, CosineRestartsArePyTorchs) {
  ExpectRates("max_iterations: 7 cosine_restarts { first_iterations: 3 min_lr: 0.01 }", 100,
              {0.1, 0.0775, 0.0325, 0.1, 0.0775, 0.0325, 0.1});
}

TEST(Schedule, CosineRestartsWithLongerPeriodsArePyTorchs) {
  const std::vector<double> rates = {0.1,
                                     0.055,
                                     0.1,
                                     0.08681980515339464,
                                     0.055,
                                     0.023180194846605363,
                                     0.1,
                                     0.0965745789630079,
                                     0.08681980515339464,
                                     0.07222075445642905,
                                     0.055,
                                     0.03777924554357097,
                                     0.023180194846605363,
                                     0.013425421036992097,
                                     0.1};
  ExpectRates(
      "max_iterations: 15 cosine_restarts { first_iterations: 2 multiplier: 2 min_lr: 0.01 }", 100,
      rates);
  // The same period in epochs of two iterations.
  ExpectRates("max_epochs: 8 cosine_restarts { first_epochs: 1 multiplier: 2 min_lr: 0.01 }", 2,
              rates);
}

TEST(Schedule, WarmupMultipliesEveryKind) {
  const std::string length = "max_iterations: 6 ";
  for (const char* kind : {"multi_step { milestones: 1 unit: ITERATION }", "cosine {}", "poly {}",
                           "one_cycle {}", "cosine_restarts { first_iterations: 2 }"}) {
    const LearningRateSchedule plain(FromText<ScheduleConfig>(length + kind), 0.1, 100);
    const LearningRateSchedule warm(
        FromText<ScheduleConfig>(length + kind + " warmup { iterations: 4 start_factor: 0.25 }"),
        0.1, 100);
    EXPECT_DOUBLE_EQ(warm.At(0), 0.25 * plain.At(0)) << kind;
    EXPECT_DOUBLE_EQ(warm.At(2), 0.625 * plain.At(2)) << kind;
    EXPECT_DOUBLE_EQ(warm.At(4), plain.At(4)) << kind;
  }
}

TEST(Schedule, WarmupIsPyTorchsLinearLr) {
  ExpectRates("max_iterations: 6 constant {} warmup { iterations: 4 start_factor: 0.25 }", 100,
              {0.025, 0.04375, 0.0625, 0.08125, 0.1, 0.1});
}

TEST(Schedule, WarmupByEpochsCountsTheirIterations) {
  ExpectRates("max_epochs: 3 warmup { epochs: 1 start_factor: 0.5 }", 2, {0.05, 0.075, 0.1, 0.1});
}

// The warm-ups and the schedules that begin after them are mmengine's LinearLR with
// CosineAnnealingLR, PolyLR and MultiStepLR. An epoch has two iterations.
TEST(Schedule, FollowsTheWarmupAsInMmengine) {
  const std::string by_iteration =
      "max_iterations: 8 warmup { iterations: 3 start_factor: 0.25 schedule_follows: true "
      "ends_at_full_rate: true } ";
  ExpectRates(by_iteration + "cosine { min_lr: 0.01 }", 2,
              {0.025, 0.0625, 0.1, 0.1, 0.09140576474687263, 0.06890576474687264,
               0.04109423525312737, 0.01859423525312737});
  ExpectRates(by_iteration + "poly { power: 2 min_lr: 0.01 }", 2,
              {0.025, 0.0625, 0.1, 0.09999999999999999, 0.06760000000000001, 0.0424,
               0.024400000000000005, 0.013599999999999998});
  ExpectRates(by_iteration + "multi_step { milestones: [2, 4] unit: ITERATION }", 2,
              {0.025, 0.0625, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001});
  ExpectRates(
      "max_epochs: 4 warmup { epochs: 2 start_factor: 0.25 schedule_follows: true "
      "ends_at_full_rate: true } cosine { min_lr: 0.001 }",
      2,
      {0.025, 0.05, 0.07500000000000001, 0.1, 0.1, 0.0855017856687341, 0.0505, 0.0154982143312659});
  ExpectRates(
      "max_epochs: 5 warmup { epochs: 2 start_factor: 0.25 unit: EPOCH schedule_follows: true "
      "ends_at_full_rate: true } cosine { unit: EPOCH min_lr: 0.01 }",
      2,
      {0.025, 0.025, 0.1, 0.1, 0.1, 0.1, 0.0775, 0.0775, 0.032500000000000015,
       0.032500000000000015});
}

// A schedule that follows is the schedule of a shorter run, behind a warm-up of its first rate.
TEST(Schedule, FollowsTheWarmupWithTheRatesOfAShorterRun) {
  for (const char* kind :
       {"multi_step { milestones: 2 unit: ITERATION }", "multi_step { milestones: 1 }",
        "cosine { min_lr: 0.01 }", "cosine { unit: EPOCH }", "poly { power: 0.9 }",
        "cosine_restarts { first_iterations: 2 }", "cosine_restarts { first_epochs: 1 }"}) {
    const LearningRateSchedule shorter(
        FromText<ScheduleConfig>(absl::StrCat("max_epochs: 3 ", kind)), 0.1, 2);
    const LearningRateSchedule follows(
        FromText<ScheduleConfig>(
            absl::StrCat("max_epochs: 5 ", kind,
                         " warmup { epochs: 2 start_factor: 0.25 schedule_follows: true }")),
        0.1, 2);
    EXPECT_EQ(follows.total_iterations(), 10);
    for (int64_t i = 0; i < 4; ++i) {
      EXPECT_DOUBLE_EQ(follows.At(i), 0.1 * (0.25 + 0.75 * static_cast<double>(i) / 4)) << kind;
    }
    for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(follows.At(4 + i), shorter.At(i)) << kind << i;
  }
}

TEST(Schedule, WarmupThatEndsAtTheFullRateHasOneRisingStepLess) {
  ExpectRates(
      "max_iterations: 6 warmup { iterations: 4 start_factor: 0.25 ends_at_full_rate: true }", 100,
      {0.025, 0.05, 0.075, 0.1, 0.1, 0.1});
  // Data and ranks may make an epoch one iteration long.
  ExpectRates("max_epochs: 3 warmup { epochs: 1 ends_at_full_rate: true }", 1, {0.1, 0.1, 0.1});
}

TEST(Schedule, WarmupByEpochStaysWithinAnEpoch) {
  ExpectRates("max_epochs: 4 warmup { epochs: 2 start_factor: 0.5 unit: EPOCH }", 2,
              {0.05, 0.05, 0.075, 0.075, 0.1, 0.1});
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
  EXPECT_THAT(ErrorsOf("max_epochs: 1 one_cycle { pct_start: 0 div_factor: 1 }"), IsEmpty());
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
  EXPECT_THAT(ErrorsOf("max_epochs: 1 poly { power: 0 min_lr: -1 }"),
              ElementsAre(Problem{"schedule.poly.power", "is 0; expected more than 0"},
                          Problem{"schedule.poly.min_lr", "is -1; expected 0 or more"}));
  EXPECT_THAT(
      ErrorsOf("max_epochs: 1 one_cycle { pct_start: 1.5 div_factor: 0 final_div_factor: -1 }"),
      ElementsAre(
          Problem{"schedule.one_cycle.pct_start", "is 1.5; expected at least 0 and less than 1"},
          Problem{"schedule.one_cycle.div_factor", "is 0; expected 1 or more"},
          Problem{"schedule.one_cycle.final_div_factor", "is -1; expected more than 0"}));
  // With these the rate would end at its peak, begin above it and end above it. PyTorch takes them.
  EXPECT_THAT(ErrorsOf("max_epochs: 1 one_cycle { pct_start: 1 div_factor: 0.5 }"),
              ElementsAre(Problem{"schedule.one_cycle.pct_start",
                                  "is 1; expected at least 0 and less than 1"},
                          Problem{"schedule.one_cycle.div_factor", "is 0.5; expected 1 or more"}));
  EXPECT_THAT(
      ErrorsOf("max_epochs: 1 one_cycle { div_factor: 25 final_div_factor: 0.01 }"),
      ElementsAre(Problem{"schedule.one_cycle.final_div_factor",
                          "is 0.01; the last rate, lr / (div_factor * final_div_factor), would be "
                          "more than lr: expected at least 1 / div_factor"}));
  EXPECT_THAT(ErrorsOf("max_epochs: 1 warmup { start_factor: 0.1 }"),
              ElementsAre(Problem{"schedule.warmup.iterations",
                                  "is not set, nor is epochs; the warm-up has no length"}));
  EXPECT_THAT(
      ErrorsOf("max_epochs: 1 cosine_restarts { min_lr: -1 multiplier: 0 }"),
      ElementsAre(Problem{"schedule.cosine_restarts.min_lr", "is -1; expected 0 or more"},
                  Problem{"schedule.cosine_restarts.multiplier", "is 0; expected 1 to 1000"},
                  Problem{"schedule.cosine_restarts.first_epochs",
                          "is not set, nor is first_iterations; the first period has no length"}));
  EXPECT_THAT(ErrorsOf("max_iterations: 5 cosine_restarts { first_iterations: 0 }"),
              ElementsAre(Problem{"schedule.cosine_restarts.first_iterations",
                                  "is 0; expected 1 or more"}));
  EXPECT_THAT(ErrorsOf("max_epochs: 5 cosine_restarts { first_epochs: 5 }"),
              ElementsAre(Problem{"schedule.cosine_restarts.first_epochs",
                                  "is 5; the run ends after epoch 5 and would never restart: take "
                                  "schedule.cosine"}));
}

std::vector<Problem> WarningsOf(const std::string& text, int64_t iterations_per_epoch = 0) {
  ProblemList list;
  CheckSchedule(FromText<ScheduleConfig>(text), iterations_per_epoch, Problems(&list, "schedule"));
  EXPECT_THAT(list.errors, IsEmpty());
  return list.warnings;
}

TEST(Schedule, CheckWarnsOfARunThatEndsInsideAPeriod) {
  EXPECT_THAT(WarningsOf("max_epochs: 30 cosine_restarts { first_epochs: 10 }"), IsEmpty());
  EXPECT_THAT(WarningsOf("max_epochs: 70 cosine_restarts { first_epochs: 10 multiplier: 2 }"),
              IsEmpty());
  EXPECT_THAT(
      WarningsOf("max_epochs: 50 cosine_restarts { first_epochs: 10 multiplier: 2 }"),
      ElementsAre(Problem{"schedule.cosine_restarts.first_epochs",
                          "the run ends after epoch 50, inside the period from epoch 30 to 70, so "
                          "its last rate is not the least; a run of 30 or 70 epochs ends with a "
                          "period"}));
}

TEST(Schedule, CheckComparesPeriodsWithRunsInTheOtherUnit) {
  const std::string by_epoch = "max_iterations: 100 cosine_restarts { first_epochs: 3 }";
  EXPECT_THAT(WarningsOf(by_epoch), IsEmpty());  // the length of an epoch is not known
  EXPECT_THAT(
      WarningsOf(by_epoch, 10),
      ElementsAre(Problem{"schedule.cosine_restarts.first_epochs",
                          "the run ends after iteration 100, inside the period from iteration 90 "
                          "to 120, so its last rate is not the least; a run of 90 or 120 "
                          "iterations ends with a period"}));
  EXPECT_THAT(WarningsOf("max_iterations: 90 cosine_restarts { first_epochs: 3 }", 10), IsEmpty());
  EXPECT_THAT(
      WarningsOf("max_iterations: 30 cosine_restarts { first_epochs: 3 }", 10),
      ElementsAre(Problem{"schedule.cosine_restarts.first_epochs",
                          "is 3, which are 30 iterations; the run ends after iteration 30 and "
                          "would never restart: take schedule.cosine"}));
  const std::string by_iteration = "max_epochs: 5 cosine_restarts { first_iterations: 30 }";
  EXPECT_THAT(
      WarningsOf(by_iteration, 10),
      ElementsAre(Problem{"schedule.cosine_restarts.first_iterations",
                          "the run ends after iteration 50, inside the period from iteration 30 "
                          "to 60, so its last rate is not the least; a run of 30 or 60 iterations "
                          "ends with a period"}));
  EXPECT_THAT(WarningsOf(by_iteration, 12), IsEmpty());
}

TEST(Schedule, CheckComparesMilestonesWithRunsInTheOtherUnit) {
  const std::string by_epoch = "max_iterations: 35 multi_step { milestones: [3, 4] }";
  EXPECT_THAT(WarningsOf(by_epoch), IsEmpty());
  EXPECT_THAT(WarningsOf(by_epoch, 10),
              ElementsAre(Problem{"schedule.multi_step.milestones[1]",
                                  "is 4; the run ends after iteration 35, in epoch 4, and never "
                                  "reaches it"}));
  const std::string by_iteration = "max_epochs: 4 multi_step { unit: ITERATION milestones: 40 }";
  EXPECT_THAT(WarningsOf(by_iteration, 10),
              ElementsAre(Problem{"schedule.multi_step.milestones[0]",
                                  "is 40; the run ends after iteration 40, and never reaches it"}));
  EXPECT_THAT(WarningsOf(by_iteration, 11), IsEmpty());
}

TEST(Schedule, CheckWarnsOfAWarmupAsLongAsTheRun) {
  const auto warning = [](const std::string& field, const std::string& text) {
    return ElementsAre(Problem{"schedule.warmup." + field, text});
  };
  EXPECT_THAT(WarningsOf("max_iterations: 30 warmup { epochs: 3 }", 10),
              warning("epochs", "is 3; the run ends after iteration 30, before it is warm"));
  EXPECT_THAT(WarningsOf("max_epochs: 3 warmup { iterations: 30 }", 10),
              warning("iterations", "is 30; the run ends after iteration 30, before it is warm"));
  EXPECT_THAT(WarningsOf("max_iterations: 30 warmup { iterations: 30 }"),
              warning("iterations", "is 30; the run ends after iteration 30, before it is warm"));
  EXPECT_THAT(WarningsOf("max_epochs: 3 warmup { iterations: 29 }", 10), IsEmpty());
  EXPECT_THAT(WarningsOf("max_iterations: 30 warmup { epochs: 3 }"), IsEmpty());
}

TEST(Schedule, CheckRefusesSchedulesThatCannotFollowTheWarmup) {
  const std::string warmup = "max_epochs: 9 warmup { epochs: 2 schedule_follows: true } ";
  const char* expected = "; expected cosine, cosine_restarts, poly or multi_step, or false";
  for (const char* kind : {"", "constant {}", "plateau {}"}) {
    EXPECT_THAT(ErrorsOf(warmup + kind),
                ElementsAre(Problem{"schedule.warmup.schedule_follows",
                                    absl::StrCat("is true, and this schedule's rate does not "
                                                 "depend on where it begins",
                                                 expected)}))
        << kind;
  }
  EXPECT_THAT(
      ErrorsOf(warmup + "one_cycle {}"),
      ElementsAre(Problem{
          "schedule.warmup.schedule_follows",
          absl::StrCat("is true, and schedule.one_cycle has a rise of its own", expected)}));
  EXPECT_THAT(ErrorsOf(warmup + "cosine {}"), IsEmpty());
  EXPECT_THAT(ErrorsOf("max_epochs: 9 warmup { iterations: 5 unit: EPOCH }"),
              ElementsAre(Problem{"schedule.warmup.unit",
                                  "is EPOCH and the length is in iterations; set epochs instead"}));
  for (const char* length : {"iterations: 1", "epochs: 1 unit: EPOCH"}) {
    EXPECT_THAT(
        ErrorsOf(absl::StrCat("max_epochs: 9 warmup { ", length, " ends_at_full_rate: true }")),
        testing::SizeIs(1))
        << length;
  }
}

TEST(Schedule, CheckCountsFromTheEndOfAWarmupThatTheScheduleFollows) {
  const std::string warmup = "warmup { epochs: 2 schedule_follows: true } ";
  EXPECT_THAT(ErrorsOf("max_epochs: 9 multi_step { milestones: [6, 7] } " + warmup),
              ElementsAre(Problem{"schedule.multi_step.milestones[1]",
                                  "is 7; the run ends after epoch 7 of the schedule and would "
                                  "never reach it"}));
  EXPECT_THAT(WarningsOf("max_iterations: 90 multi_step { milestones: [6, 7] } " + warmup, 10),
              ElementsAre(Problem{"schedule.multi_step.milestones[1]",
                                  "is 7; the run ends after iteration 70 of the schedule, in "
                                  "epoch 7, and never reaches it"}));
  EXPECT_THAT(ErrorsOf("max_epochs: 9 cosine_restarts { first_epochs: 7 } " + warmup),
              ElementsAre(Problem{"schedule.cosine_restarts.first_epochs",
                                  "is 7; the run ends after epoch 7 of the schedule and would "
                                  "never restart: take schedule.cosine"}));
  EXPECT_THAT(WarningsOf("max_epochs: 8 cosine_restarts { first_epochs: 3 } " + warmup), IsEmpty());
  EXPECT_THAT(
      WarningsOf("max_epochs: 9 cosine_restarts { first_epochs: 3 } " + warmup),
      ElementsAre(Problem{"schedule.cosine_restarts.first_epochs",
                          "the run ends after epoch 7 of the schedule, inside the period from "
                          "epoch 6 to 9, so its last rate is not the least; a run of 6 or 9 epochs "
                          "after the warm-up ends with a period"}));
}

TEST(Schedule, CheckWarnsOfAWarmupBesideOneCycle) {
  EXPECT_THAT(WarningsOf("max_epochs: 2 one_cycle {} warmup { iterations: 3 }"),
              ElementsAre(Problem{"schedule.warmup",
                                  "multiplies the rise that schedule.one_cycle has already"}));
}

TEST(Schedule, FindsTheMinimumOfSchedulesThatHaveOne) {
  const auto minimum = [](const std::string& text) {
    return FindMinimumLearningRate(FromText<ScheduleConfig>(text));
  };
  EXPECT_EQ(minimum("poly { min_lr: 0.5 }")->field, "schedule.poly.min_lr");
  EXPECT_EQ(minimum("poly { min_lr: 0.5 }")->value, 0.5);
  EXPECT_EQ(minimum("cosine {}")->field, "schedule.cosine.min_lr");
  EXPECT_EQ(minimum("cosine_restarts { min_lr: 2 }")->value, 2);
  EXPECT_FALSE(minimum("one_cycle {}").has_value());
  EXPECT_FALSE(minimum("constant {}").has_value());
}

}  // namespace
}  // namespace finetune
