#include "src/observe/status_files.h"

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const absl::Time kStart = absl::UnixEpoch() + absl::Seconds(1'800'000'000);

TEST(StatusFiles, HoldTheStatusAndTheTimeOfItsUpdate) {
  const std::string folder = EmptyTestFolder();
  StatusFiles files(folder);
  RunStatus status;
  status.run.name = "flowers";
  ASSERT_TRUE(files.Write(status, kStart + absl::Milliseconds(250)).ok());
  const absl::StatusOr<RunStatus> read = ReadRunStatus(folder);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->run.name, "flowers");
  EXPECT_EQ(read->updated_unix_s, 1'800'000'000.25);
  EXPECT_THAT(*ReadFile(folder + "/metrics.prom"),
              HasSubstr("work_dir=\"" + fs::absolute(folder).lexically_normal().string() + "\""));
  // Nothing else is left in the folder.
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 2);
}

TEST(StatusFiles, AreDueAfterAPauseAndWhenTheClockWasSetBack) {
  StatusFiles files(EmptyTestFolder());
  EXPECT_TRUE(files.IsDue(kStart, StatusFiles::kHeartbeat));
  ASSERT_TRUE(files.Write(RunStatus(), kStart).ok());
  EXPECT_FALSE(files.IsDue(kStart + absl::Milliseconds(999), absl::Seconds(1)));
  EXPECT_TRUE(files.IsDue(kStart + absl::Seconds(1), absl::Seconds(1)));
  EXPECT_TRUE(files.IsDue(kStart - absl::Hours(1), StatusFiles::kHeartbeat));
}

TEST(StatusFiles, NameTheFileThatCannotBeReplaced) {
  const std::string folder = EmptyTestFolder();
  StatusFiles files(folder);
  ASSERT_TRUE(files.Write(RunStatus(), kStart).ok());
  ASSERT_TRUE(fs::remove(folder + "/metrics.prom"));
  ASSERT_TRUE(fs::create_directory(folder + "/metrics.prom"));
  const absl::Status status = files.Write(RunStatus(), kStart + absl::Seconds(1));
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder + "/metrics.prom"));
  // Nothing else is left in the folder.
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 2);
}

}  // namespace
}  // namespace finetune
