#include "src/base/atomic_file.h"

#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
  const std::string folder = EmptyTestFolder();
  const std::string path = folder + "/x";
  auto file = AtomicFile::Create(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(file->Write("hello").ok());
  EXPECT_FALSE(fs::exists(path));
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(*ReadFile(path), "hello");
}

TEST(AtomicFile, LeavesNothingBehindWithoutCommit) {
  const std::string folder = EmptyTestFolder();
  ASSERT_TRUE(WriteFileAtomically(folder + "/x", "old").ok());
  {
    auto file = AtomicFile::Create(folder + "/x");
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(file->Write("new").ok());
  }
  EXPECT_EQ(*ReadFile(folder + "/x"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
}

TEST(AtomicFile, NamesThePathThatCannotBeWritten) {
  auto file = AtomicFile::Create("/nowhere/at/all");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(file.status().message().find("/nowhere/at/all"), std::string::npos);
}

TEST(ReadFile, RefusesWhatIsLargerThanItsLimit) {
  const std::string folder = EmptyTestFolder();
  ASSERT_TRUE(WriteFileAtomically(folder + "/x", "12345").ok());
  EXPECT_EQ(ReadFile(folder + "/x", 4).status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace finetune
