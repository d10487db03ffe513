#include "src/base/own_file.h"

#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

constexpr char kMark[] = "# Written by finetune.";

TEST(OwnFileTest, ReplacesItsOwnFile) {
  const std::string path = EmptyTestFolder() + "/a.txt";
  ASSERT_TRUE(WriteOwnText(path, kMark, "one\n").ok());
  ASSERT_TRUE(WriteOwnText(path, kMark, "two\n").ok());
  EXPECT_EQ(*ReadFile(path), "# Written by finetune.\ntwo\n");
}

TEST(OwnFileTest, RefusesAndKeepsAnotherFile) {
  const std::string path = EmptyTestFolder() + "/a.txt";
  for (const std::string text :
       {"mine\n", "# Written by finetune. And by me.\n", "# Written by finetune."}) {
    ASSERT_TRUE(WriteFileAtomically(path, text).ok());
    const absl::Status status = WriteOwnText(path, kMark, "new\n");
    EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
    EXPECT_THAT(std::string(status.message()), testing::StartsWith(path + ": found a file that"));
    EXPECT_EQ(*ReadFile(path), text);
  }
}

TEST(OwnFileTest, ReplacesAFileWhoseBytesACrashHasLost) {
  const std::string path = EmptyTestFolder() + "/a.txt";
  for (const std::string& lost : {std::string(), std::string(3, '\0'), std::string(4096, '\0')}) {
    ASSERT_TRUE(WriteFileAtomically(path, lost).ok());
    EXPECT_EQ(SetAside(path, kMark).value(), false);
    ASSERT_TRUE(WriteOwnText(path, kMark, "two\n").ok());
    EXPECT_EQ(*ReadFile(path), "# Written by finetune.\ntwo\n");
  }
}

TEST(OwnFileTest, SetsAnotherFileAside) {
  const std::string path = EmptyTestFolder() + "/a.txt";
  EXPECT_EQ(SetAside(path, kMark).value(), false);
  ASSERT_TRUE(WriteOwnText(path, kMark, "one\n").ok());
  EXPECT_EQ(SetAside(path, kMark).value(), false);
  ASSERT_TRUE(WriteFileAtomically(path, "mine\n").ok());
  EXPECT_EQ(SetAside(path, kMark).value(), true);
  EXPECT_EQ(*ReadFile(path + ".bak"), "mine\n");
  EXPECT_FALSE(std::filesystem::exists(path));
  // A second call refuses to overwrite the .bak file of the first.
  ASSERT_TRUE(WriteFileAtomically(path, "mine too\n").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(SetAside(path, kMark).status()));
  EXPECT_EQ(*ReadFile(path), "mine too\n");
  EXPECT_EQ(*ReadFile(path + ".bak"), "mine\n");
}

TEST(OwnFileTest, RefusesAFolder) {
  EXPECT_TRUE(absl::IsAlreadyExists(CheckOwnText(EmptyTestFolder(), kMark)));
}

}  // namespace
}  // namespace finetune
