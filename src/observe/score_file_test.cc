#include "src/observe/score_file.h"

#include <cstring>
#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

void Write(const std::string& path) {
  absl::StatusOr<ScoreFile> file = ScoreFile::Create(path, {"cat", "a \"dog\", wet"}, 2);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(file->Add(0, {.label = 1, .guess = 0}, std::vector<float>{0.75F, 0.25F}).ok());
  ASSERT_TRUE(file->Add(1, {.label = 1, .guess = 1}, std::vector<float>{0.1F, 0.9F}).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(file->Commit().ok());
}

TEST(ScoreFileTest, CsvHasALineForEachImage) {
  const std::string path = EmptyTestFolder() + "/scores.csv";
  Write(path);
  EXPECT_EQ(*ReadFile(path),
            "index,label,guess,cat,\"a \"\"dog\"\", wet\"\n"
            "0,1,0,0.75,0.25\n"
            "1,1,1,0.100000001,0.899999976\n");
}

TEST(ScoreFileTest, NpyIsAnArrayOfRecords) {
  const std::string path = EmptyTestFolder() + "/scores.npy";
  Write(path);
  const std::string bytes = *ReadFile(path);
  ASSERT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const size_t length = static_cast<unsigned char>(bytes[8]) +
                        256 * static_cast<size_t>(static_cast<unsigned char>(bytes[9]));
  const std::string header = bytes.substr(10, length);
  EXPECT_EQ((10 + length) % 64, 0u);
  EXPECT_EQ(header.back(), '\n');
  EXPECT_THAT(header, HasSubstr("{'descr': [('index', '<i8'), ('label', '<i4'), ('guess', '<i4'), "
                                "('scores', '<f4', (2,))], 'fortran_order': False, 'shape': (2,), "
                                "}"));
  const std::string data = bytes.substr(10 + length);
  ASSERT_EQ(data.size(), 2u * (8 + 4 + 4 + 2 * 4));
  int64_t index = 0;
  float scores[2] = {};
  std::memcpy(&index, &data[24], sizeof(index));
  std::memcpy(scores, &data[24 + 16], sizeof(scores));
  EXPECT_EQ(index, 1);
  EXPECT_EQ(scores[0], 0.1F);
  EXPECT_EQ(scores[1], 0.9F);
}

TEST(ScoreFileTest, RefusesAnotherEnding) {
  const absl::Status status = ScoreFile::CheckName("scores.txt");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("scores.txt"));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("expected a name that ends in .csv or .npy"));
}

TEST(ScoreFileTest, LeavesNothingWithoutCommit) {
  const std::string folder = EmptyTestFolder();
  { EXPECT_TRUE(ScoreFile::Create(folder + "/scores.csv", {"a"}, 1).ok()); }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

}  // namespace
}  // namespace finetune
