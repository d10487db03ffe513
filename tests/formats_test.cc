// Tests that files of every version so far can be read (tests/fixtures/formats has them), and that
// files of a newer version are refused by name.

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/writer.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kFixtures[] = "tests/fixtures/formats";

std::vector<std::string> Versions() {
  std::vector<std::string> versions;
  for (const auto& entry : fs::directory_iterator(kFixtures)) {
    if (entry.is_directory()) versions.push_back(entry.path().filename().string());
  }
  std::sort(versions.begin(), versions.end());
  return versions;
}

class FormatsTest : public TrainingTest {
 protected:
  // Copies a version's files into the test's folder.
  void Take(const std::string& version) {
    fs::copy(fs::absolute(fs::path(kFixtures) / version), folder_,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    for (const char* link : {"latest.pth", "best.pth"}) {
      fs::remove(folder_ + "/run/" + link);
      fs::create_symlink("epoch_1.pth", folder_ + "/run/" + link);
    }
  }

  std::string Checkpoint() const { return folder_ + "/run/epoch_1.pth"; }

  Outcome RunFinetune(const std::string& command, const std::string& flags) {
    return Run(absl::StrCat(finetune_, " ", command, " --config=", folder_, "/config.pbtxt",
                            " --set=data.train.path=", folder_,
                            "/data --set=data.val.path=", folder_, "/data ", flags));
  }
  Outcome Resume() {
    return RunFinetune("", absl::StrCat("--work_dir=", folder_, "/run --resume=auto"));
  }
  Outcome Evaluate() { return RunFinetune("evaluate", "--checkpoint=" + Checkpoint()); }
  Outcome Report() { return Run(absl::StrCat(finetune_, " report ", folder_, "/run")); }

  // Replaces `from` by `to` in a file of the test's folder.
  void Replace(const std::string& file, const std::string& from, const std::string& to) {
    const auto text = ReadFile(folder_ + "/" + file);
    ASSERT_TRUE(text.ok()) << text.status();
    ASSERT_THAT(*text, HasSubstr(from));
    ASSERT_TRUE(
        WriteFileAtomically(folder_ + "/" + file, absl::StrReplaceAll(*text, {{from, to}})).ok());
  }
};

TEST_F(FormatsTest, ReadsTheFilesOfEveryVersion) {
  ASSERT_THAT(Versions(), testing::Contains("before_0.1.0"));
  for (const std::string& version : Versions()) {
    SCOPED_TRACE(version);
    Take(version);
    const Outcome verified = Run(absl::StrCat(prepare_, " verify ", folder_, "/data"));
    EXPECT_EQ(verified.exit_code, 0) << verified.output;
    const Outcome evaluated = Evaluate();
    EXPECT_EQ(evaluated.exit_code, 0) << evaluated.output;
    const Outcome resumed = Resume();
    EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
    EXPECT_THAT(resumed.output, HasSubstr("epoch_1.pth at iteration 2"));
    // The records from before and after the update form one history.
    EXPECT_EQ(Losses("run").size(), 4u);
    const Outcome reported = Report();
    EXPECT_EQ(reported.exit_code, 0) << reported.output;
  }
}

TEST_F(FormatsTest, RefusesACheckpointOfANewerVersion) {
  Take("before_0.1.0");
  const auto saved = ReadTorchFile(Checkpoint());
  ASSERT_TRUE(saved.ok()) << saved.status();
  Value::Dict root = *saved->dict();
  Value::Dict meta;
  meta.Append("writer", "finetune 9.8.7");
  meta.Append("format_version", 99);
  for (const auto& [key, value] : root.entries().front().second.dict()->entries()) {
    if (*key.string() != "writer") meta.Append(key, value);
  }
  root.entries().front().second = meta;
  ASSERT_TRUE(WriteTorchFile(Checkpoint(), root).ok());
  for (const Outcome& outcome : {Resume(), Evaluate()}) {
    EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
    EXPECT_THAT(outcome.output,
                AllOf(HasSubstr("epoch_1.pth"),
                      HasSubstr("meta.format_version: is 99, written by finetune 9.8.7"),
                      HasSubstr("use finetune 9.8.7 or a newer one")));
  }
  // The refused run has written nothing.
  EXPECT_FALSE(fs::exists(folder_ + "/run/.checkpoints.lock"));
}

TEST_F(FormatsTest, RefusesRecordsOfANewerVersion) {
  Take("before_0.1.0");
  Replace("run/20260101_000000.jsonl", R"("mode":"run")",
          R"("mode":"run","format_version":99,"writer":"finetune 9.8.7")");
  const Outcome report = Report();
  EXPECT_EQ(report.exit_code, 2) << report.output;
  EXPECT_THAT(
      report.output,
      AllOf(
          HasSubstr("run/20260101_000000.jsonl: format_version: is 99, written by finetune 9.8.7"),
          HasSubstr("use finetune 9.8.7 or a newer one")));
}

TEST_F(FormatsTest, RefusesADataSetOfANewerVersion) {
  Take("before_0.1.0");
  Replace("data/manifest.pbtxt", "format_version: 1\n", "format_version: 99\n");
  const Outcome run = RunFinetune("", absl::StrCat("--work_dir=", folder_, "/other"));
  EXPECT_EQ(run.exit_code, 2) << run.output;
  EXPECT_THAT(run.output, HasSubstr("data/manifest.pbtxt:1:1: format_version is 99"));
}

}  // namespace
}  // namespace finetune
