#include "src/plan/measure.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace finetune {
namespace {

ExperimentConfig LeNet() {
  ExperimentConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "model { backbone { lenet5 {} } neck { kind: NONE } head { num_classes: 10 } } "
      "optimizer { sgd { lr: 0.1 momentum: 0.9 } }",
      &config));
  return config;
}

TEST(MeasureStep, SeesEveryGradientComeBeforeBackwardEnds) {
  MeasureOptions options;
  options.shape = {1, 32, 32};
  options.batches = {2, 8};
  options.iterations = 3;
  const absl::StatusOr<Profile> profile = MeasureStep(LeNet(), options);
  ASSERT_TRUE(profile.ok()) << profile.status();
  // LeNet-5 of LeCun et al. 1998 with mmpretrain's head has 61,706 parameters.
  EXPECT_EQ(std::accumulate(profile->parameters.begin(), profile->parameters.end(), int64_t{0}),
            61706);
  // The first gradient to arrive is that of the head's bias.
  EXPECT_EQ(profile->parameters.front(), 10);
  ASSERT_EQ(profile->passes.size(), 2u);
  for (const PassTimes& pass : profile->passes) {
    EXPECT_GT(pass.forward_s, 0);
    EXPECT_GT(pass.memory_bytes, 0);
    ASSERT_EQ(pass.ready_s.size(), profile->parameters.size());
    EXPECT_TRUE(std::is_sorted(pass.ready_s.begin(), pass.ready_s.end()));
    EXPECT_GT(pass.ready_s.front(), 0);
    EXPECT_LE(pass.ready_s.back(), pass.backward_s);
  }
  EXPECT_GT(profile->sum_bytes_per_second, 0);
}

TEST(MeasureStep, RefusesImagesThatTheModelDoesNotTake) {
  MeasureOptions options;
  options.shape = {1, 28, 28};
  options.batches = {2};
  EXPECT_EQ(MeasureStep(LeNet(), options).status().message(),
            "data.train.pipeline: found images of 28x28 with 1 channel; LeNet-5 takes images of "
            "32x32 with 1 channel; end the pipeline with a resize or crop to size 32");
}

TEST(MeasureStep, RefusesPassesThatLeaveBatchNormOneValue) {
  ExperimentConfig config;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "model { backbone { resnet { depth: 18 base_channels: 2 } } head { num_classes: 10 } } "
      "optimizer { sgd { lr: 0.1 } }",
      &config));
  MeasureOptions options;
  options.shape = {3, 32, 32};
  options.batches = {1, 4};
  const absl::Status status = MeasureStep(config, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("found passes of one image"), std::string::npos) << status;
}

TEST(MeasureStep, WithoutBatchesCountsParametersOnly) {
  const absl::StatusOr<Profile> profile = MeasureStep(LeNet(), {});
  ASSERT_TRUE(profile.ok()) << profile.status();
  EXPECT_FALSE(profile->parameters.empty());
  EXPECT_TRUE(profile->passes.empty());
}

}  // namespace
}  // namespace finetune
