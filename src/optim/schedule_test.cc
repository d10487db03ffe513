#include "src/optim/schedule.h"

#include <google/protobuf/text_format.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace finetune {
namespace {

ScheduleConfig Parse(const std::string& text) {
  ScheduleConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return config;
}

// The rates of torch.optim.lr_scheduler for a base rate of 0.1; printed by
// tests/fixtures/optim/make_fixtures.py.
void ExpectRates(const std::string& text, int64_t iterations_per_epoch,
                 const std::vector<double>& expected) {
  auto schedule = LearningRateSchedule::Create(Parse(text), 0.1, iterations_per_epoch);
  ASSERT_TRUE(schedule.ok()) << schedule.status();
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(schedule->At(static_cast<int64_t>(i)), expected[i], 1e-12) << "iteration " << i;
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
  EXPECT_EQ(LearningRateSchedule::Create(Parse("max_epochs: 3"), 1, 7)->total_iterations(), 21);
  EXPECT_EQ(LearningRateSchedule::Create(Parse("max_iterations: 5"), 1, 7)->total_iterations(), 5);
  EXPECT_EQ(LearningRateSchedule::Create(Parse(""), 1, 7).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Schedule, AutoScaleFollowsTheLinearRule) {
  EXPECT_DOUBLE_EQ(ScaledLearningRate(Parse("base_batch_size: 128 auto_scale_lr: true"), 0.1, 16),
                   0.0125);
  EXPECT_DOUBLE_EQ(ScaledLearningRate(Parse("base_batch_size: 128"), 0.1, 16), 0.1);
  EXPECT_DOUBLE_EQ(ScaledLearningRate(Parse("auto_scale_lr: true"), 0.1, 16), 0.1);
}

}  // namespace
}  // namespace finetune
