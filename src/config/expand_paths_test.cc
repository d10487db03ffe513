#include "src/config/expand_paths.h"

#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

LoadedConfig Load(const std::string& text) {
  const std::string path = EmptyTestFolder() + "/a.pbtxt";
  EXPECT_TRUE(WriteFileAtomically(path, text).ok());
  absl::StatusOr<LoadedConfig> loaded = LoadConfig(path, {});
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return *std::move(loaded);
}

TEST(ExpandPathsTest, ReplacesATildeInEveryPath) {
  setenv("HOME", "/home/me", 1);
  LoadedConfig loaded =
      Load("data { train { path: '~/train' } val { path: '~' } } runtime { work_dir: '~/runs/a' }");
  ASSERT_TRUE(ExpandPaths(&loaded).ok());
  EXPECT_EQ(loaded.config.data().train().path(), "/home/me/train");
  EXPECT_EQ(loaded.config.data().val().path(), "/home/me");
  EXPECT_EQ(loaded.config.runtime().work_dir(), "/home/me/runs/a");
}

TEST(ExpandPathsTest, LeavesOtherPathsAndUnsetFieldsAlone) {
  LoadedConfig loaded = Load("data { train { path: 'data/~x' } }");
  const std::string before = loaded.config.DebugString();
  ASSERT_TRUE(ExpandPaths(&loaded).ok());
  EXPECT_EQ(loaded.config.DebugString(), before);
}

TEST(ExpandPathsTest, NamesTheFieldAndThePlaceOfAnotherUsersFolder) {
  LoadedConfig loaded = Load("data {\n  val { path: '~you/x' } }");
  const absl::Status status = ExpandPaths(&loaded);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("a.pbtxt:2:9: data.val.path: ~you/x"));
}

}  // namespace
}  // namespace finetune
