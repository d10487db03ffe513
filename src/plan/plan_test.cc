#include "src/plan/plan.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ExperimentConfig Config(const std::string& text) {
  ExperimentConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return config;
}

// Two parameters of 1 MiB and 3 MiB. Forward takes 10 ms plus 1 ms per image, backward twice as
// long.
Profile TwoParameters() {
  Profile profile;
  profile.parameters = {1 << 18, 3 << 18};
  profile.optimizer_s = 0.001;
  profile.sum_bytes_per_second = 1e15;
  for (const int64_t batch : {1, 32}) {
    PassTimes pass;
    pass.batch = batch;
    pass.forward_s = 0.01 + 0.001 * static_cast<double>(batch);
    pass.backward_s = 2 * pass.forward_s;
    pass.ready_s = {pass.forward_s, pass.backward_s};
    pass.memory_bytes = 1e8 + 1e6 * static_cast<double>(batch);
    profile.passes.push_back(pass);
  }
  return profile;
}

Cluster Network(double bytes_per_second, double latency_s) {
  Cluster cluster;
  cluster.between_hosts = {"test", bytes_per_second, latency_s};
  cluster.within_host = cluster.between_hosts;
  cluster.sum_bytes_per_second = 1e15;
  return cluster;
}

TEST(PassAt, LiesOnTheLineThroughTheMeasuredPasses) {
  const Profile profile = TwoParameters();
  for (const int64_t batch : {1, 7, 32, 100}) {
    const PassTimes pass = PassAt(profile, batch);
    EXPECT_NEAR(pass.forward_s, 0.01 + 0.001 * batch, 1e-12);
    EXPECT_NEAR(pass.memory_bytes, 1e8 + 1e6 * batch, 1);
    EXPECT_NEAR(pass.ready_s[0], pass.backward_s / 2, 1e-12);
  }
}

TEST(PassAt, OnePassAloneIsInProportion) {
  Profile profile = TwoParameters();
  profile.passes.erase(profile.passes.begin());
  EXPECT_NEAR(PassAt(profile, 16).backward_s, profile.passes[0].backward_s / 2, 1e-12);
  EXPECT_EQ(PassAt(profile, 16).memory_bytes, profile.passes[0].memory_bytes);
}

TEST(Profile, IsReadBackAsItWasWritten) {
  const Profile profile = TwoParameters();
  const absl::StatusOr<Profile> read = ParseProfile(ToJson(profile), "p.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read),
            absl::StrReplaceAll(ToJson(profile), {{"\"source\": \"\"", "\"source\": \"p.json\""}}));
}

TEST(Profile, ADamagedOneIsRefusedByFileAndField) {
  const std::string good = ToJson(TwoParameters());
  const auto message = [&](const std::string& from, const std::string& to) {
    const std::string bad = absl::StrReplaceAll(good, {{from, to}});
    EXPECT_NE(bad, good) << from;
    return std::string(ParseProfile(bad, "p.json").status().message());
  };
  EXPECT_THAT(message("\"backward_s\"", "\"x\""), HasSubstr("p.json: backward_s: expected"));
  EXPECT_THAT(message("\"batch\": 32", "\"batch\": 1"), HasSubstr("p.json: passes.batch"));
  EXPECT_THAT(message("\"parameters\": [", "\"parameters\": [5,"), HasSubstr("passes.ready_s"));
  EXPECT_THAT(message("}", "]"), HasSubstr("p.json: the file: expected an object"));
}

TEST(Profile, TakesTheMedianIterationOfARun) {
  History history;
  for (const double seconds : {0.5, 0.3, 9.0}) {
    IterationRecord record;
    record.time_s = seconds + 0.1;
    record.data_time_s = 0.1;
    record.images_per_s = 16 / record.time_s;
    record.memory_mib = 200;
    history.iterations.push_back(record);
  }
  const absl::StatusOr<Profile> profile =
      ProfileOfRun(history, 16, /*micro_batch=*/0, TwoParameters(), "run.jsonl");
  ASSERT_TRUE(profile.ok()) << profile.status();
  ASSERT_EQ(profile->passes.size(), 1u);
  EXPECT_EQ(profile->passes[0].batch, 16);
  EXPECT_NEAR(profile->passes[0].forward_s + profile->passes[0].backward_s, 0.5, 1e-9);
  EXPECT_THAT(profile->passes[0].ready_s,
              ElementsAre(profile->passes[0].backward_s / 2, profile->passes[0].backward_s));
  EXPECT_EQ(profile->passes[0].memory_bytes, 200 << 20);

  EXPECT_THAT(
      std::string(ProfileOfRun(history, 2, 0, TwoParameters(), "run.jsonl").status().message()),
      HasSubstr("run.jsonl: is of a run of 16 images an iteration"));
  EXPECT_THAT(std::string(ProfileOfRun({}, 16, 0, TwoParameters(), "run.jsonl").status().message()),
              HasSubstr("holds no record"));
}

TEST(Plan, OneRankDoesNotCommunicate) {
  const ExperimentConfig config = Config("data { train { batch_size: 10 } }");
  const std::vector<PlanRow> rows =
      MakePlan(config, TwoParameters(), Network(1, 1), {1}, /*images=*/0);
  EXPECT_EQ(rows[0].comm_s, 0);
  EXPECT_EQ(rows[0].efficiency, 1);
  // 20 ms forward, 40 ms backward, 1 ms for the optimizer.
  EXPECT_NEAR(rows[0].step_s, 0.061, 1e-9);
  EXPECT_FALSE(rows[0].hours.has_value());
}

TEST(Plan, WeakScalingKeepsARanksBatchAndStrongScalingTheTotal) {
  const Cluster fast = Network(1e15, 0);
  const std::vector<PlanRow> weak =
      MakePlan(Config("data { train { batch_size: 10 } } schedule { max_epochs: 2 }"),
               TwoParameters(), fast, {1, 10}, 1000);
  EXPECT_EQ(weak[1].total_batch, 100);
  EXPECT_NEAR(weak[1].efficiency, 1, 1e-3);
  EXPECT_NEAR(*weak[0].hours / *weak[1].hours, 10, 1e-2);
  EXPECT_NEAR(*weak[1].hours, 20 * 0.061 / 3600, 1e-6);

  const std::vector<PlanRow> strong =
      MakePlan(Config("data { train { total_batch_size: 20 } } schedule { max_iterations: 7 }"),
               TwoParameters(), fast, {1, 8, 64}, 0);
  EXPECT_EQ(strong[1].total_batch, 20);
  // The slowest rank has 3 of the 20 images.
  EXPECT_EQ(strong[1].rank_batch, 3);
  EXPECT_EQ(strong[2].rank_batch, 1);
  EXPECT_NEAR(strong[1].compute_s, 0.040, 1e-9);
  EXPECT_NEAR(strong[1].efficiency, 0.091 / 0.040 / 8, 1e-4);
  EXPECT_NEAR(*strong[1].hours, 7 * strong[1].step_s / 3600, 1e-12);
}

TEST(Plan, TheFirstBucketHidesBehindBackwardAndTheLastDoesNot) {
  // At 8 MB/s an all-reduce of n bytes between two ranks takes n / (8 MB/s). The bucket of 1 MiB
  // takes 131 ms and starts at 40 ms; the bucket of 3 MiB takes 393 ms.
  const Cluster network = Network(8e6, 0);
  const std::string train = "data { train { batch_size: 10 } } ";
  const PlanRow row =
      MakePlan(Config(train + "comm { first_bucket_mebibytes: 1 bucket_mebibytes: 25 }"),
               TwoParameters(), network, {2}, 0)[0];
  EXPECT_NEAR(row.comm_s, (4 << 20) / 8e6, 1e-9);
  EXPECT_NEAR(row.step_s, 0.040 + (4 << 20) / 8e6 + 0.001, 1e-9);
  // A single bucket starts at the end of backward. With BF16 it has half the bytes and takes half
  // the time.
  const PlanRow whole = MakePlan(Config(train + "comm { first_bucket_mebibytes: 25 }"),
                                 TwoParameters(), network, {2}, 0)[0];
  EXPECT_NEAR(whole.exposed_s, whole.comm_s, 1e-9);
  EXPECT_GT(whole.step_s, row.step_s);
  const PlanRow packed =
      MakePlan(Config(train + "comm { first_bucket_mebibytes: 1 compression: BF16 }"),
               TwoParameters(), network, {2}, 0)[0];
  EXPECT_NEAR(packed.comm_s, row.comm_s / 2, 1e-9);
}

TEST(Plan, OnlyTheLastMicroBatchCommunicates) {
  const PlanRow row = MakePlan(Config("data { train { batch_size: 10 micro_batch_size: 4 } }"),
                               TwoParameters(), Network(8e6, 0), {2}, 0)[0];
  // Two passes of 3 images take 39 ms each. One pass of 4 images takes 42 ms, and its first
  // gradient arrives after 28 ms.
  EXPECT_NEAR(row.compute_s, 2 * 0.039 + 0.042 + 0.001, 1e-9);
  EXPECT_NEAR(row.step_s, 2 * 0.039 + 0.028 + (4 << 20) / 8e6 + 0.001, 1e-9);
}

TEST(Plan, StatisticsTravelBeforeTheGradients) {
  const ExperimentConfig config = Config("data { train { batch_size: 10 } }");
  const Cluster network = Network(8e6, 0);
  // 20 ms forward and 20 ms to the first gradient, as above.
  Profile profile = TwoParameters();
  // The all-reduce of these statistics takes 10 ms and ends before the first bucket is ready.
  profile.statistics = 20'000;
  const PlanRow without = MakePlan(config, TwoParameters(), network, {2}, 0)[0];
  const PlanRow hidden = MakePlan(config, profile, network, {2}, 0)[0];
  EXPECT_NEAR(hidden.comm_s - without.comm_s, 0.010, 1e-9);
  EXPECT_NEAR(hidden.step_s, without.step_s, 1e-9);
  // The all-reduce of these statistics takes 50 ms, so the buckets wait for 30 ms.
  profile.statistics = 100'000;
  EXPECT_NEAR(MakePlan(config, profile, network, {2}, 0)[0].step_s - without.step_s, 0.030, 1e-9);
}

TEST(Plan, AsksForThePassesItNeeds) {
  SplitConfig train;
  train.set_total_batch_size(64);
  EXPECT_THAT(PassBatches(train, {1, 8, 512}), ElementsAre(1, 8, 64));
  train.set_micro_batch_size(24);
  EXPECT_THAT(PassBatches(train, {1, 8}), ElementsAre(8, 21, 22));
}

TEST(Plan, EveryLineOfTheTableIsAsLong) {
  const ExperimentConfig config =
      Config("data { train { batch_size: 10 } } schedule { max_iterations: 1000 }");
  const std::string table =
      FormatPlan(MakePlan(config, TwoParameters(), Network(1e9, 1e-5), {1, 8, 4096}, 0));
  const std::vector<std::string> lines = absl::StrSplit(table, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 4u);
  for (const std::string& line : lines) EXPECT_EQ(line.size(), lines[0].size()) << table;
}

}  // namespace
}  // namespace finetune
