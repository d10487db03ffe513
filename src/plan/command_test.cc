#include "src/plan/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"
#include "src/observe/record.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

std::string File(const std::string& name, const std::string& text) {
  std::string path = absl::StrCat(::testing::TempDir(), "/", name);
  EXPECT_TRUE(WriteFileAtomically(path, text).ok());
  return path;
}

LoadedConfig LeNet(const std::string& more = "") {
  const std::string path = File(
      "lenet.pbtxt",
      absl::StrCat("model { backbone { lenet5 {} } neck { kind: NONE } head { num_classes: 10 } }\n"
                   "data { train { path: \"nowhere\" split: \"train\" batch_size: 4\n"
                   "  pipeline { resize { size: 32 } } pipeline { normalize {} } } }\n"
                   "optimizer { sgd { lr: 0.1 } }\n"
                   "schedule { max_epochs: 2 constant {} }\n",
                   more));
  absl::StatusOr<LoadedConfig> loaded = LoadConfig(path, {});
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return *loaded;
}

std::string ErrorOf(const PlanFlags& flags) {
  const absl::StatusOr<std::string> plan = RunPlan(LeNet(), flags);
  EXPECT_TRUE(absl::IsInvalidArgument(plan.status())) << plan.status();
  return std::string(plan.status().message());
}

TEST(RunPlan, MeasuresSavesAndPlansTheSameFromWhatItSaved) {
  PlanFlags flags;
  flags.ranks = "1,16";
  flags.measure = 2;
  flags.json = true;
  flags.images = 1000;
  flags.save_profile = absl::StrCat(::testing::TempDir(), "/saved.json");
  flags.force = true;
  const absl::StatusOr<std::string> measured = RunPlan(LeNet(), flags);
  ASSERT_TRUE(measured.ok()) << measured.status();
  flags.measure = 0;
  flags.profile = std::exchange(flags.save_profile, "");
  const absl::StatusOr<std::string> again = RunPlan(LeNet(), flags);
  ASSERT_TRUE(again.ok()) << again.status();
  const auto rows = nlohmann::json::parse(*measured)["plans"][0]["rows"];
  EXPECT_EQ(rows, nlohmann::json::parse(*again)["plans"][0]["rows"]);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1]["hosts"], 2);
  EXPECT_EQ(rows[1]["total_batch"], 64);
  EXPECT_GT(rows[1]["step_s"], rows[0]["step_s"]);
  EXPECT_GT(rows[0]["hours"], 0);
}

TEST(RunPlan, PlansFromTheRecordsOfARun) {
  PlanFlags flags;
  flags.ranks = "1";
  flags.json = true;
  flags.profile = File("run.jsonl", ToJson([] {
                                      IterationRecord record;
                                      record.iteration = 1;
                                      record.time_s = 0.5;
                                      record.images_per_s = 8;
                                      return record;
                                    }()) +
                                        "\n");
  const absl::StatusOr<std::string> plan = RunPlan(LeNet(), flags);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_NEAR(nlohmann::json::parse(*plan)["plans"][0]["rows"][0]["step_s"], 0.5, 1e-9);
}

TEST(RunPlan, PrintsATableForEachLink) {
  PlanFlags flags;
  flags.measure = 1;
  flags.links = {"1Gbit", "lab=25Gbit,8us"};
  const absl::StatusOr<std::string> plan = RunPlan(LeNet(), flags);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(*plan, HasSubstr("1Gbit between hosts (1 Gbit/s, 50 us)"));
  EXPECT_THAT(*plan, HasSubstr("lab between hosts (25 Gbit/s, 8 us)"));
  EXPECT_THAT(*plan, HasSubstr("hours need --images"));
  EXPECT_THAT(*plan, HasSubstr("jitter"));
}

TEST(RunPlan, WarnsOfRanksThatDoNotFitIntoAHost) {
  PlanFlags flags;
  flags.ranks = "1,16";
  flags.measure = 1;
  flags.images = 1000;
  flags.ranks_per_host = 4;
  flags.host_memory = int64_t{1} << 20;  // less than any process takes
  const absl::StatusOr<std::string> small = RunPlan(LeNet(), flags);
  ASSERT_TRUE(small.ok()) << small.status();
  EXPECT_THAT(*small, HasSubstr("warning: a run of 16: 4 ranks on a host, with passes of 4 images, "
                                "need "));
  EXPECT_THAT(*small, HasSubstr("and a host by --host_memory has 1 MiB\n"));
  flags.host_memory = int64_t{1} << 45;
  const absl::StatusOr<std::string> large = RunPlan(LeNet(), flags);
  ASSERT_TRUE(large.ok()) << large.status();
  EXPECT_EQ(large->find("warning"), std::string::npos) << *large;
}

TEST(RunPlan, SaysWhatIsWrongWithAFlag) {
  PlanFlags flags;
  flags.links = {"10Gbits"};
  EXPECT_THAT(ErrorOf(flags), HasSubstr("did you mean 10Gbit?"));
  flags = {};
  flags.intra_link = "nvlnk4";
  EXPECT_THAT(
      ErrorOf(flags),
      HasSubstr("--intra_link=nvlnk4: found nvlnk4, expected a link; did you mean nvlink4?"));
  flags = {};
  flags.save_profile = "/nowhere/p.json";
  EXPECT_EQ(RunPlan(LeNet(""), flags).status().message(),
            "--save_profile: found /nowhere/p.json, whose folder /nowhere is not there; create it");
  flags = {};
  flags.ranks = "8,,64";
  EXPECT_THAT(ErrorOf(flags), HasSubstr("found '', expected numbers of ranks"));
  flags = {};
  flags.algorithm = "hierarchial";
  EXPECT_THAT(ErrorOf(flags), HasSubstr("did you mean hierarchical?"));
  flags = {};
  flags.measure = 3;
  flags.profile = "p.json";
  EXPECT_THAT(ErrorOf(flags), HasSubstr("--measure and --profile"));
  flags = {};
  flags.profile = File("broken.json", "{}");
  EXPECT_THAT(ErrorOf(flags), HasSubstr("broken.json: parameters: expected"));
}

TEST(RunPlan, CannotMeasureAGpu) {
  const absl::StatusOr<std::string> plan = RunPlan(LeNet("runtime { device: CUDA }\n"), {});
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("--profile"));
}

}  // namespace
}  // namespace finetune
