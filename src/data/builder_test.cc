#include "src/data/builder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/test_folder.h"
#include "src/data/manifest.h"
#include "tests/synced_paths.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

class BuilderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = EmptyTestFolder();
    options_.folder = folder_ + "/data";
    options_.name = "x";
    options_.source = "SOURCE";
    options_.class_names = {"a", "b"};
    options_.height = 1;
    options_.width = 2;
    options_.channels = 3;
  }

  bool IsEmpty() const { return fs::is_empty(folder_); }

  std::string folder_;
  DatasetBuilder::Options options_;
};

TEST_F(BuilderTest, CountsShardsAndStatisticsOfTheFirstSplit) {
  options_.shards = 3;
  auto builder = DatasetBuilder::Create(options_);
  ASSERT_TRUE(builder.ok()) << builder.status();
  ASSERT_TRUE(builder->BeginSplit("train", 5).ok());
  for (uint8_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(builder->Add({{i, 10, 0, i, 20, 255}}, i % 2).ok());
  }
  ASSERT_TRUE(builder->BeginSplit("test", 2).ok());
  for (uint8_t i = 0; i < 2; ++i) ASSERT_TRUE(builder->Add({{9, 9, 9, 9, 9, 9}}, 0).ok());
  ASSERT_TRUE(builder->Finish().ok());

  const auto manifest = ReadManifest(options_.folder);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  std::vector<int64_t> counts;
  for (const DatasetSplit& split : manifest->split()) {
    for (const DatasetShard& shard : split.shard()) counts.push_back(shard.count());
  }
  EXPECT_THAT(counts, ElementsAre(1, 2, 2, 1, 1));
  EXPECT_EQ(manifest->split(0).shard(2).file(), "train-00002-of-00003.h5");
  EXPECT_EQ(manifest->split(1).shard(1).file(), "test-00001-of-00002.h5");
  EXPECT_THAT(manifest->mean(), ElementsAre(2, 15, 127.5));
  EXPECT_THAT(manifest->std(), ElementsAre(testing::DoubleEq(std::sqrt(2.0)), 5, 127.5));
}

TEST_F(BuilderTest, RefusesCallsOutOfOrder) {
  const std::vector<uint8_t> pixels(6);
  {
    auto builder = DatasetBuilder::Create(options_);
    ASSERT_TRUE(builder.ok()) << builder.status();
    EXPECT_EQ(builder->Finish(), absl::FailedPreconditionError("a data set needs a split"));
    EXPECT_EQ(builder->Add(pixels, 0),
              absl::FailedPreconditionError("an image came before any split"));
    EXPECT_EQ(builder->BeginSplit("train", 0),
              absl::InvalidArgumentError("split train has no images"));
    ASSERT_TRUE(builder->BeginSplit("train", 2).ok());
    ASSERT_TRUE(builder->Add(pixels, 0).ok());
    const absl::Status half = absl::FailedPreconditionError("split train has 1 of its 2 images");
    EXPECT_EQ(builder->BeginSplit("test", 1), half);
    EXPECT_EQ(builder->Finish(), half);
    ASSERT_TRUE(builder->Add(pixels, 0).ok());
    EXPECT_EQ(builder->Add(pixels, 0),
              absl::FailedPreconditionError("more than the 2 images of split train"));
    EXPECT_EQ(builder->Add(std::vector<uint8_t>(5), 0),
              absl::InvalidArgumentError("an image of 5 bytes; expected 6"));
  }
  EXPECT_TRUE(IsEmpty());
}

TEST_F(BuilderTest, RefusesAtOnceWhatAManifestMayNotHold) {
  const auto refusal = [&](auto change) {
    DatasetBuilder::Options options = options_;
    change(&options);
    return DatasetBuilder::Create(options).status();
  };
  EXPECT_EQ(refusal([](auto* o) {
              o->class_names = {"a", "a"};
            }),
            absl::InvalidArgumentError("SOURCE: class_name \"a\" is there twice"));
  EXPECT_EQ(refusal([](auto* o) { o->class_names.clear(); }),
            absl::InvalidArgumentError("SOURCE: class_name is missing"));
  EXPECT_EQ(refusal([](auto* o) { o->width = 16385; }),
            absl::InvalidArgumentError("SOURCE: width is 16385; expected 1 to 16384"));
  EXPECT_EQ(refusal([](auto* o) { o->height = 0; }),
            absl::InvalidArgumentError("SOURCE: height is 0; expected 1 to 16384"));
  EXPECT_EQ(refusal([](auto* o) { o->channels = 4; }),
            absl::InvalidArgumentError("SOURCE: channels is 4; expected 1 or 3"));
  EXPECT_EQ(refusal([](auto* o) { o->folder = ""; }),
            absl::InvalidArgumentError("the output folder has no name"));
  EXPECT_TRUE(IsEmpty());
}

TEST_F(BuilderTest, RemovesTheFoldersItMadeUnlessTheyAreUsed) {
  options_.folder = folder_ + "/a/b/data";
  { ASSERT_TRUE(DatasetBuilder::Create(options_).ok()); }
  EXPECT_TRUE(IsEmpty());
  {
    const auto builder = DatasetBuilder::Create(options_);
    ASSERT_TRUE(builder.ok()) << builder.status();
    fs::create_directories(folder_ + "/a/other");
  }
  EXPECT_FALSE(fs::exists(folder_ + "/a/b"));
  EXPECT_TRUE(fs::exists(folder_ + "/a/other"));
}

TEST_F(BuilderTest, ADataSetOutlivesACrashOfTheMachine) {
  options_.folder = folder_ + "/a/data";
  auto builder = DatasetBuilder::Create(options_);
  ASSERT_TRUE(builder.ok()) << builder.status();
  ASSERT_TRUE(builder->BeginSplit("train", 1).ok());
  ASSERT_TRUE(builder->Add({{1, 2, 3, 4, 5, 6}}, 0).ok());
  ASSERT_TRUE(builder->Finish().ok());
  // The data set is in folder_/a, which is new: the folder that holds the data set's name and the
  // folder that holds the name of folder_/a must both be synced.
  const std::string folder = fs::canonical(folder_).string();
  std::vector<std::string> synced = SyncedPaths();
  ASSERT_GE(synced.size(), 2u);
  synced.erase(synced.begin(), synced.end() - 2);
  EXPECT_THAT(synced, ElementsAre(folder + "/a", folder));
}

TEST_F(BuilderTest, ProgressCountsAndCancels) {
  std::vector<int64_t> seen;
  options_.progress = [&](const std::string& split, int64_t done, int64_t total) {
    EXPECT_EQ(split, "train");
    EXPECT_EQ(total, 3);
    seen.push_back(done);
    return done < 2;
  };
  {
    auto builder = DatasetBuilder::Create(options_);
    ASSERT_TRUE(builder.ok()) << builder.status();
    ASSERT_TRUE(builder->BeginSplit("train", 3).ok());
    const std::vector<uint8_t> pixels(6);
    EXPECT_TRUE(builder->Add(pixels, 0).ok());
    EXPECT_EQ(builder->Add(pixels, 0), absl::CancelledError("stopped; nothing was written"));
  }
  EXPECT_THAT(seen, ElementsAre(1, 2));
  EXPECT_TRUE(IsEmpty());
}

// A killed program leaves a temporary folder behind, which can be large. Such folders would fill
// the disk.
TEST_F(BuilderTest, RemovesFoldersOfKilledProgramsAndKeepsThoseInUse) {
  const auto make = [&](const std::string& name, std::chrono::seconds age) {
    std::string path = folder_ + "/" + name;
    fs::create_directories(path);
    std::ofstream(path + "/train-00000-of-00008.h5") << "part";
    fs::last_write_time(path, fs::file_time_type::clock::now() - age);
    return path;
  };
  const auto day = std::chrono::hours(24);
  make("data.partial-killed", day);
  make("data.partial-inuse0", day);
  make("data.partial-newone", std::chrono::seconds(1));
  make("data.partial-killed.old", day);  // a data set that was being replaced
  make("other.partial-killed", day);
  const int fd = open((folder_ + "/data.partial-inuse0").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  { ASSERT_TRUE(DatasetBuilder::Create(options_).ok()); }
  close(fd);
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    left.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(left,
              testing::UnorderedElementsAre("data.partial-inuse0", "data.partial-newone",
                                            "data.partial-killed.old", "other.partial-killed"));
}

TEST_F(BuilderTest, KeepsAFileInTheDataSetsPlace) {
  std::ofstream(options_.folder) << "a file";
  options_.force = true;
  EXPECT_EQ(DatasetBuilder::Create(options_).status().message(),
            options_.folder + ": found a file; expected a folder, or nothing");
}

}  // namespace
}  // namespace finetune
