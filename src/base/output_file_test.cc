#include "src/base/output_file.h"

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::StartsWith;

class OutputFileTest : public testing::Test {
 protected:
  std::string Message(const std::vector<OutputFile>& outputs, bool force = false,
                      const std::vector<std::string>& inputs = {}) {
    return std::string(CheckOutputs(outputs, force, inputs).message());
  }

  const std::string folder_ = EmptyTestFolder();
  const std::string path_ = folder_ + "/a.csv";
};

TEST_F(OutputFileTest, AcceptsANewFileAndCreatesNone) {
  EXPECT_TRUE(CheckOutputs({{"--out", path_}, {"--scores", ""}}, /*force=*/false).ok());
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(OutputFileTest, RefusesAnExistingFileUnlessForced) {
  ASSERT_TRUE(WriteFileAtomically(path_, "mine").ok());
  const absl::Status status = CheckOutputs({{"--out", path_}}, /*force=*/false);
  EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
  EXPECT_EQ(std::string(status.message()),
            "--out: found " + path_ +
                ", which is there already; give another path, or --force to replace it");
  EXPECT_TRUE(CheckOutputs({{"--out", path_}}, /*force=*/true).ok());
  EXPECT_EQ(*ReadFile(path_), "mine");
}

TEST_F(OutputFileTest, RefusesAnInputWithForceTooUnderAnyOfItsNames) {
  ASSERT_TRUE(WriteFileAtomically(path_, "weights").ok());
  fs::create_symlink(path_, folder_ + "/link.pth");
  for (const std::string& name : {path_, folder_ + "/./a.csv", folder_ + "/link.pth"}) {
    EXPECT_THAT(Message({{"--out", name}}, /*force=*/true, {"", path_}),
                StartsWith("--out: found " + name + ", which this command reads"));
  }
}

TEST_F(OutputFileTest, RefusesTwoOutputsInOneFile) {
  EXPECT_THAT(Message({{"--out", path_}, {"--scores", folder_ + "/./a.csv"}}),
              StartsWith("--scores: found " + folder_ + "/./a.csv, which --out names too"));
  EXPECT_THAT(Message({{"--out", "a.csv"}, {"--scores", "./a.csv"}}),
              StartsWith("--scores: found ./a.csv, which --out names too"));
}

TEST_F(OutputFileTest, RefusesFoldersAndPathsInNoFolder) {
  EXPECT_THAT(Message({{"--out", folder_}}, /*force=*/true),
              StartsWith("--out: " + folder_ + ": found a folder"));
  EXPECT_THAT(Message({{"--out", folder_ + "/none/a.csv"}}),
              StartsWith("--out: found " + folder_ + "/none/a.csv, whose folder " + folder_ +
                         "/none is not there"));
  EXPECT_THAT(Message({{"--out", "/dev/null"}}, /*force=*/true),
              StartsWith("--out: /dev/null: found a device"));
}

}  // namespace
}  // namespace finetune
