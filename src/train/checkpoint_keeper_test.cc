#include "src/train/checkpoint_keeper.h"

#include <filesystem>

#include "gtest/gtest.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

TEST(CheckpointKeeper, DoesNotTakeAFolderThatCannotBeListedForAnEmptyOne) {
  const std::string folder = EmptyTestFolder();
  // A symbolic link to itself exists but cannot be opened.
  std::filesystem::create_symlink("run", folder + "/run");
  const absl::StatusOr<bool> found = CheckpointKeeper::WillFind(folder + "/run", "auto");
  ASSERT_FALSE(found.ok());
  EXPECT_NE(found.status().message().find(folder + "/run"), std::string::npos) << found.status();
}

TEST(CheckpointKeeper, FindsNothingWhereThereIsNoFolder) {
  const std::string folder = EmptyTestFolder();
  const absl::StatusOr<bool> found = CheckpointKeeper::WillFind(folder + "/run", "auto");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(*found);
}

}  // namespace
}  // namespace finetune
