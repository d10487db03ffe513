#include "src/observe/run_status.h"

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

RunStatus Full() {
  RunStatus status;
  status.state = RunState::kFailed;
  status.error = "the disk is \"full\"";
  status.reason = "stopped early";
  status.run.name = "flowers";
  status.run.host = "node7";
  status.run.ranks = 4;
  status.run.iteration = 16;
  status.run.began_unix_s = 1.8e9 + 0.125;
  status.pid = 4242;
  status.updated_unix_s = 1.8e9 + 60.5;
  status.training.emplace();
  status.training->epoch = 2;
  status.training->iteration = 20;
  status.training->iterations_per_epoch = 16;
  status.training->total_iterations = 64;
  status.training->loss = 1.5;
  status.training->images_per_s = 128;
  status.training->eta_s = 11.5;
  // The validation is of an earlier iteration than `training`.
  status.validation.emplace();
  status.validation->iteration = 16;
  status.validation->loss = 0.5;
  status.validation->accuracy = {{"top1", 0.875}, {"top5", 1}};
  status.validation_done = 3;
  status.validation_total = 7;
  status.best = {"top1", 0.9, 8};
  status.checkpoint = {"epoch_1.pth", 16, 1.8e9};
  status.warnings = {{1.8e9, "odd"}, {1.8e9 + 1, "odder"}};
  return status;
}

TEST(RunStatus, IsReadAsItWasWritten) {
  const absl::StatusOr<RunStatus> read = ParseRunStatus(ToJson(Full()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->state, RunState::kFailed);
  EXPECT_EQ(read->reason, "stopped early");
  EXPECT_EQ(read->run.host, "node7");
  EXPECT_EQ(read->training->total_iterations, 64);
  EXPECT_EQ(read->validation->iteration, 16);
  EXPECT_EQ(read->best->iteration, 8);
  EXPECT_EQ(read->checkpoint->file, "epoch_1.pth");
  EXPECT_THAT(read->warnings, SizeIs(2));
  EXPECT_EQ(ToJson(*read), ToJson(Full()));
}

TEST(RunStatus, OfARunWithoutAnIterationIsReadAsItWasWritten) {
  const absl::StatusOr<RunStatus> read = ParseRunStatus(ToJson(RunStatus()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE(read->training.has_value());
  EXPECT_FALSE(read->checkpoint.has_value());
  EXPECT_EQ(ToJson(*read), ToJson(RunStatus()));
}

// Other programs read these names. Whoever changes a name must raise kStatusFormatVersion.
TEST(RunStatus, HasTheNamesThatOtherProgramsRead) {
  const nlohmann::json json = nlohmann::json::parse(ToJson(Full()));
  EXPECT_EQ(json["format_version"], 1);
  EXPECT_EQ(json["state"], "FAILED");
  EXPECT_EQ(json["error"], "the disk is \"full\"");
  EXPECT_EQ(json["host"], "node7");
  EXPECT_EQ(json["pid"], 4242);
  EXPECT_EQ(json["updated"], 1.8e9 + 60.5);
  EXPECT_EQ(json["total_iterations"], 64);
  EXPECT_EQ(json["train"]["iteration"], 20);
  EXPECT_EQ(json["train"]["loss"], 1.5);
  EXPECT_EQ(json["train"]["images_per_s"], 128);
  EXPECT_EQ(json["train"]["eta"], 11.5);
  EXPECT_EQ(json["val"]["accuracy"]["top1"], 0.875);
  EXPECT_EQ(json["best"]["metric"], "top1");
  EXPECT_EQ(json["checkpoint"]["file"], "epoch_1.pth");
  EXPECT_EQ(json["warnings"][1]["text"], "odder");
}

// The first line marks the file as finetune's. Without it, a later run would refuse to replace the
// file.
TEST(RunStatus, BeginsWithFinetunesMark) {
  EXPECT_TRUE(absl::StartsWith(ToJson(Full()), absl::StrCat(kStatusFirstLine, "\n")));
}

TEST(RunStatus, RefusesTextThatIsNotAStatus) {
  for (const std::string text :
       {"", "{", "[]", "null", "{\"writer\": \"finetune 0.1.0\", \"state\": 3}",
        "{\"writer\": \"finetune 0.1.0\", \"state\": \"LOST\"}",
        // of other programs
        "{\"state\": \"RUNNING\"}", "{\"writer\": \"slurm 23\", \"state\": \"RUNNING\"}"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseRunStatus(text).status())) << text;
  }
  // A status that was cut at any byte.
  const std::string whole = ToJson(Full());
  for (size_t size = 0; size + 2 < whole.size(); ++size) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseRunStatus(whole.substr(0, size)).status())) << size;
  }
}

TEST(RunStatus, RefusesThatOfANewerFinetune) {
  const std::string text = absl::StrReplaceAll(
      ToJson(Full()), {{"\"format_version\": 1,\n \"writer\": \"finetune 0.1.0\"",
                        "\"format_version\": 2,\n \"writer\": \"finetune 9.0.0\""}});
  const absl::Status status = ParseRunStatus(text).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("finetune 9.0.0"));
}

TEST(RunStatus, FieldsOfOtherTypesKeepTheirDefaults) {
  const absl::StatusOr<RunStatus> read = ParseRunStatus(
      R"({"writer": "finetune 0.1.0", "state": "RUNNING", "pid": 1e300, "updated": "x", "train": [1], "best": 3, "checkpoint": null,
          "iterations_per_epoch": 0, "warnings": [7, {"text": "odd"}], "run": {"iteration": 1}})");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->pid, 0);
  EXPECT_FALSE(read->training.has_value());
  EXPECT_FALSE(read->best.has_value());
  EXPECT_THAT(read->warnings, SizeIs(1));
}

}  // namespace
}  // namespace finetune
