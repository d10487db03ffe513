#include "src/main/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Flags, PlanTakesListsWithCommasAndSeveralLinks) {
  const absl::StatusOr<CommandLine> line =
      ParseCommandLine({"plan", "--config=a.pbtxt", "--ranks=8,64", "--link=10Gbit,50us",
                        "--link=infiniband-hdr", "--ranks_per_host=4", "--json"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->command, CommandLine::Command::kPlan);
  EXPECT_EQ(line->config, "a.pbtxt");
  EXPECT_EQ(line->plan.ranks, "8,64");
  EXPECT_THAT(line->plan.links, ElementsAre("10Gbit,50us", "infiniband-hdr"));
  EXPECT_EQ(line->plan.ranks_per_host, 4);
  EXPECT_TRUE(line->plan.json);
}

TEST(Flags, PlanNamesTheFlagThatWasMeant) {
  const auto message = [](const std::vector<std::string>& arguments) {
    const absl::StatusOr<CommandLine> line = ParseCommandLine(arguments);
    EXPECT_TRUE(absl::IsInvalidArgument(line.status()));
    return std::string(line.status().message());
  };
  EXPECT_THAT(message({"plan", "--config=a", "--rank=8"}), HasSubstr("did you mean --ranks?"));
  EXPECT_THAT(message({"plam", "--config=a"}), HasSubstr("did you mean plan?"));
  EXPECT_THAT(message({"plan", "--config=a", "--ranks_per_host=0"}), HasSubstr("ranks_per_host"));
  EXPECT_THAT(message({"plan", "--config=a", "--measure=x"}), HasSubstr("measure"));
  EXPECT_THAT(message({"plan", "--ranks=8"}), HasSubstr("--config is not given"));
}

std::string Refusal(const std::vector<std::string>& arguments) {
  const absl::StatusOr<CommandLine> line = ParseCommandLine(arguments);
  EXPECT_TRUE(absl::IsInvalidArgument(line.status())) << line.status();
  return std::string(line.status().message());
}

TEST(Flags, WhatIsWrongIsSaidInWords) {
  EXPECT_EQ(Refusal({"--config=a", "--max_iterations=0"}),
            "--max_iterations: expected a whole number of 1 or more, got 0");
  EXPECT_EQ(Refusal({"--config=a", "--config_path=/nowhere"}),
            "--config_path=/nowhere: is no folder");
  EXPECT_EQ(Refusal({"--config=a", "--checkpoint=b"}),
            "--checkpoint: no such flag here; it belongs to evaluate");
  EXPECT_EQ(Refusal({"config", "--config=a", "--origins=x"}),
            "--origins: expected true or false, got x");
}

// Without this it would train.
TEST(Flags, ACommandAfterFlagsIsRefused) {
  EXPECT_EQ(Refusal({"--config=a", "evaluate", "--checkpoint=b"}),
            "evaluate: the command comes first, as in finetune evaluate --config=F");
}

TEST(Flags, EveryCommandHasHelpWithItsNameAndAnExample) {
  for (const std::string command : {"train", "evaluate", "config", "report", "plan"}) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{command, "--help"}, {"help", command}}) {
      const absl::StatusOr<CommandLine> line = ParseCommandLine(arguments);
      ASSERT_TRUE(line.ok()) << line.status();
      EXPECT_EQ(line->command, CommandLine::Command::kHelp);
      EXPECT_THAT(line->help, HasSubstr("Usage: finetune " + command));
      EXPECT_THAT(line->help, HasSubstr("Example"));
    }
  }
  EXPECT_THAT(ParseCommandLine({"--help"})->help, HasSubstr("Exit codes"));
}

TEST(Flags, ATildeInAPathMeansHome) {
  setenv("HOME", "/home/me", 1);
  const absl::StatusOr<CommandLine> line = ParseCommandLine(
      {"--config=~/a.pbtxt", "--work_dir=~/x", "--resume=~/b.pth", "--trace=~/t.json"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config, "/home/me/a.pbtxt");
  EXPECT_EQ(line->work_dir, "/home/me/x");
  EXPECT_EQ(line->resume, "/home/me/b.pth");
  EXPECT_EQ(line->trace, "/home/me/t.json");
  EXPECT_EQ(ParseCommandLine({"evaluate", "--config=a", "--checkpoint=~/b.pth"})->checkpoint,
            "/home/me/b.pth");
  EXPECT_THAT(Refusal({"--config=a", "--work_dir=~you/x"}), HasSubstr("--work_dir: ~you/x"));
}

TEST(Flags, BeginningAgainAndGoingOnExcludeEachOther) {
  EXPECT_EQ(ParseCommandLine({"--config=a", "--overwrite", "--resume=auto"}).status().message(),
            "--overwrite begins again and --resume goes on: give one of them");
  EXPECT_TRUE(ParseCommandLine({"--config=a", "--resume=auto"}).ok());
  EXPECT_EQ(ParseCommandLine({"--config=a", "--allow_other_data"}).status().message(),
            "--allow_other_data is for a run that goes on: give --resume too");
  EXPECT_TRUE(ParseCommandLine({"--config=a", "--resume=auto", "--allow_other_data"}).ok());
}

}  // namespace
}  // namespace finetune
