#include "src/base/atomic_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// Writes "old" to a file, then returns an AtomicFile for the same path, which has "new" and is not
// committed.
AtomicFile Replacing(const std::string& path) {
  EXPECT_TRUE(WriteFileAtomically(path, "old").ok());
  auto file = AtomicFile::Create(path);
  EXPECT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->Write("new").ok());
  return *std::move(file);
}

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

TEST(AtomicFile, ReplacesTheOldBytesAtOnceWithoutASync) {
  const std::string folder = EmptyTestFolder();
  AtomicFile file = Replacing(folder + "/x");
  EXPECT_EQ(*ReadFile(folder + "/x"), "old");
  ASSERT_TRUE(file.CommitUnsynced().ok());
  EXPECT_EQ(*ReadFile(folder + "/x"), "new");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
}

TEST(AtomicFile, DoesNotReplaceAPipe) {
  const std::string path = EmptyTestFolder() + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(WriteFileAtomically(path, "x").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(fs::is_fifo(path));
}

TEST(AtomicFile, LeavesNothingBehindWithoutCommit) {
  const std::string folder = EmptyTestFolder();
  { const AtomicFile file = Replacing(folder + "/x"); }
  EXPECT_EQ(*ReadFile(folder + "/x"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
}

TEST(AtomicFile, IsTheSameWhereItGoesPastTheCache) {
  const std::string folder = EmptyTestFolder();
  // Sizes below, at and above a disk block (4096) and the buffer. The pieces that are written are
  // multiples of neither.
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{2} << 20, size_t{5000001}}) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 2654435761U >> 13);
    auto file = AtomicFile::CreateLarge(folder + "/x");
    ASSERT_TRUE(file.ok()) << file.status();
    for (size_t from = 0; from < size; from += 777777) {
      ASSERT_TRUE(file->Write(absl::string_view(bytes).substr(from, 777777)).ok());
    }
    ASSERT_TRUE(file->Commit().ok());
    EXPECT_TRUE(*ReadFile(folder + "/x") == bytes) << size;
  }
}

TEST(AtomicFile, IsWrittenWhereThereIsNoWayPastTheCache) {
  const std::string path = "/dev/shm/finetune_atomic_file_test";
  const std::string bytes(3000000, 'x');
  auto file = AtomicFile::CreateLarge(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(file->Write(bytes).ok());
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_TRUE(*ReadFile(path) == bytes);
  fs::remove(path);
}

TEST(AtomicFile, RefusesAFolderBeforeAnythingIsWritten) {
  const std::string folder = EmptyTestFolder();
  EXPECT_EQ(AtomicFile::Create(folder).status().message(),
            folder + ": found a folder; expected a file, or a new name");
  EXPECT_TRUE(absl::IsInvalidArgument(AtomicFile::Create(folder).status()));
}

TEST(AtomicFile, NamesThePathThatCannotBeWritten) {
  auto file = AtomicFile::Create("/nowhere/at/all");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(file.status().message().find("/nowhere/at/all"), std::string::npos);
}

TEST(FinalNameOf, KnowsTheNamesOfIncompleteFilesAlone) {
  EXPECT_EQ(FinalNameOf("status.json.aB3xYz.tmp"), "status.json");
  for (const char* name : {"status.json", "status.json.tmp", "a.aB3xY.tmp", "a.aB3x_z.tmp",
                           "a.aB3xYz.tmp.bak", "aB3xYz.tmp", ""}) {
    EXPECT_EQ(FinalNameOf(name), "") << name;
  }
}

TEST(ReadRegularFile, TakesOnlyFilesAndWaitsForNoPipe) {
  const std::string folder = EmptyTestFolder();
  ASSERT_TRUE(WriteFileAtomically(folder + "/x", "12345").ok());
  EXPECT_EQ(*ReadRegularFile(folder + "/x"), "12345");
  EXPECT_EQ(ReadRegularFile(folder + "/x", 4).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ReadRegularFile(folder).status().message(),
            folder + ": expected a file, found a folder");
  ASSERT_EQ(mkfifo((folder + "/pipe").c_str(), 0600), 0);
  EXPECT_EQ(ReadRegularFile(folder + "/pipe").status().message(),
            folder + "/pipe: expected a file, found a pipe");
  EXPECT_EQ(ReadRegularFile("/dev/null").status().message(),
            "/dev/null: expected a file, found a device");
  EXPECT_EQ(ReadRegularFile(folder + "/y").status().code(), absl::StatusCode::kNotFound);
}

TEST(ReadFile, RefusesFilesOverTheLimit) {
  const std::string folder = EmptyTestFolder();
  ASSERT_TRUE(WriteFileAtomically(folder + "/x", "12345").ok());
  EXPECT_EQ(ReadFile(folder + "/x", 4).status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace finetune
