#include "src/checkpoint/store.h"

#include <ATen/ops/full.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/checkpoint/alias.h"
#include "src/checkpoint/own_checkpoint.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/writer.h"
#include "tests/synced_paths.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class StoreTest : public testing::Test {
 protected:
  StoreTest() : folder_(EmptyTestFolder() + "/run") {}

  CheckpointStore Open(int keep_last) {
    absl::StatusOr<CheckpointStore> store = CheckpointStore::Open(folder_, keep_last);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  // Returns the content of a checkpoint whose tensor "w" is filled with the number of the
  // iteration.
  static Value Root(int64_t iteration) {
    Value::Dict meta;
    meta.Append("writer", "finetune 1");
    meta.Append("iteration", iteration);
    Value::Dict root;
    root.Append("meta", meta);
    root.Append("state_dict", Value::FromTensors({{"w", at::full({100}, iteration)}}));
    return root;
  }

  static void Save(CheckpointStore& store, int epoch, bool is_best = false) {
    Save(store, epoch, is_best ? std::vector<int>{epoch} : std::vector<int>());
  }

  // `best`: the epochs of the best checkpoints, the best first.
  static void Save(CheckpointStore& store, int epoch, const std::vector<int>& best) {
    std::vector<int64_t> iterations;
    for (const int one : best) iterations.push_back(int64_t{100} * one);
    const absl::Status saved = store.Save("epoch_" + std::to_string(epoch) + ".pth",
                                          Root(int64_t{100} * epoch), iterations);
    EXPECT_TRUE(saved.ok()) << saved;
  }

  std::set<std::string> Checkpoints() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().filename() != ".checkpoints.lock") names.insert(entry.path().filename());
    }
    return names;
  }

  std::string Target(const char* link) const { return fs::read_symlink(fs::path(folder_) / link); }

  // Truncates a checkpoint to half its size, as a full disk or an interrupted copy might.
  void Damage(const std::string& name) const {
    const fs::path path = fs::path(folder_) / name;
    fs::resize_file(path, fs::file_size(path) / 2);
  }

  // Flips a bit of the tensor's data in the file, which its checksum must reveal.
  void FlipBit(const std::string& name) const {
    const std::string path = folder_ + "/" + name;
    std::string bytes = *ReadFile(path);
    bytes[bytes.find(std::string("\xc8\0\0\0\0\0\0\0\xc8", 9)) + 80] ^= 1;
    ASSERT_TRUE(WriteFileAtomically(path, bytes).ok());
  }

  const std::string folder_;
};

TEST_F(StoreTest, KeepsTheLastAndTheBest) {
  CheckpointStore store = Open(2);
  for (int epoch = 1; epoch <= 5; ++epoch) Save(store, epoch, /*is_best=*/epoch == 2);
  EXPECT_THAT(Checkpoints(), UnorderedElementsAre("epoch_2.pth", "epoch_4.pth", "epoch_5.pth",
                                                  "latest.pth", "best.pth"));
  EXPECT_EQ(Target("latest.pth"), "epoch_5.pth");
  EXPECT_EQ(Target("best.pth"), "epoch_2.pth");
  EXPECT_TRUE(ReadStateDict(folder_ + "/latest.pth").ok());

  Save(store, 6, /*is_best=*/true);
  EXPECT_THAT(Checkpoints(),
              UnorderedElementsAre("epoch_5.pth", "epoch_6.pth", "latest.pth", "best.pth"));
}

TEST_F(StoreTest, KeepsSeveralBestAndNamesTheFirst) {
  {
    CheckpointStore store = Open(1);
    Save(store, 1, std::vector<int>{1});
    Save(store, 2, std::vector<int>{2, 1});
    Save(store, 3, std::vector<int>{2, 1});
    Save(store, 4, std::vector<int>{2, 4});
    EXPECT_THAT(Checkpoints(),
                UnorderedElementsAre("epoch_2.pth", "epoch_4.pth", "latest.pth", "best.pth"));
    EXPECT_EQ(Target("best.pth"), "epoch_2.pth");
  }
  // A resumed run keeps them too.
  CheckpointStore store = Open(1);
  EXPECT_TRUE(store.HasIteration(200));
  EXPECT_FALSE(store.HasIteration(300));
  Save(store, 5, std::vector<int>{2, 4});
  Save(store, 6, std::vector<int>{6, 2});
  EXPECT_THAT(Checkpoints(),
              UnorderedElementsAre("epoch_2.pth", "epoch_6.pth", "latest.pth", "best.pth"));
  EXPECT_EQ(Target("best.pth"), "epoch_6.pth");
}

TEST_F(StoreTest, KeepsAllWhenAskedTo) {
  CheckpointStore store = Open(0);
  for (int epoch = 1; epoch <= 5; ++epoch) Save(store, epoch);
  EXPECT_EQ(Checkpoints().size(), 6u);
}

TEST_F(StoreTest, EpochsAndIterationsAreOneSequenceAlsoAfterARestart) {
  {
    CheckpointStore store = Open(3);
    Save(store, 1);
    ASSERT_TRUE(store.Save("iter_150.pth", Root(150)).ok());
    Save(store, 2);
  }
  CheckpointStore store = Open(3);
  ASSERT_TRUE(store.Save("iter_250.pth", Root(250)).ok());
  EXPECT_THAT(Checkpoints(),
              UnorderedElementsAre("iter_150.pth", "epoch_2.pth", "iter_250.pth", "latest.pth"));
}

TEST_F(StoreTest, TheLatestIsFound) {
  CheckpointStore store = Open(0);
  Save(store, 9);
  Save(store, 10);
  const absl::StatusOr<FoundCheckpoint> found = FindLatestCheckpoint(folder_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->path, folder_ + "/epoch_10.pth");
  EXPECT_EQ(*found->root.Get("meta")->GetInt("iteration"), 1000);
  EXPECT_THAT(found->skipped, IsEmpty());
}

TEST_F(StoreTest, DamagedOnesArePassedOverAndNamed) {
  CheckpointStore store = Open(0);
  for (int epoch = 1; epoch <= 3; ++epoch) Save(store, epoch);
  Damage("epoch_3.pth");
  FlipBit("epoch_2.pth");
  const absl::StatusOr<FoundCheckpoint> found = FindLatestCheckpoint(folder_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->path, folder_ + "/epoch_1.pth");
  EXPECT_THAT(found->skipped, ElementsAre(HasSubstr("epoch_3.pth"),
                                          AllOf(HasSubstr("epoch_2.pth"), HasSubstr("CRC"))));

  Damage("epoch_1.pth");
  EXPECT_EQ(FindLatestCheckpoint(folder_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(StoreTest, ARunThatWentBackIsTheLatest) {
  for (const int keep_last : {0, 2}) {
    fs::remove_all(folder_);
    {
      CheckpointStore store = Open(0);
      for (int epoch = 1; epoch <= 4; ++epoch) Save(store, epoch);
    }
    // This run resumes from epoch 1 and saves epoch 2 again, so epochs 3 and 4 belong to an
    // abandoned run.
    CheckpointStore store = Open(keep_last);
    Save(store, 2);
    EXPECT_EQ(fs::exists(folder_ + "/epoch_4.pth"), keep_last == 0);
    EXPECT_EQ(FindLatestCheckpoint(folder_)->path, folder_ + "/epoch_2.pth");
    Damage("epoch_2.pth");
    EXPECT_EQ(FindLatestCheckpoint(folder_)->path, folder_ + "/epoch_1.pth");
    Damage("epoch_1.pth");
    EXPECT_EQ(FindLatestCheckpoint(folder_).ok(), keep_last == 0);
  }
}

TEST_F(StoreTest, AReplacedBestIsNoLongerTheBest) {
  CheckpointStore store = Open(0);
  Save(store, 1, /*is_best=*/true);
  Save(store, 1);
  EXPECT_FALSE(fs::is_symlink(folder_ + "/best.pth"));
}

TEST_F(StoreTest, PointsTheBestOnlyAtACheckpointThatItHas) {
  CheckpointStore store = Open(0);
  Save(store, 1, /*is_best=*/true);
  Save(store, 2);
  EXPECT_TRUE(*store.PointBest(200));
  EXPECT_EQ(Target("best.pth"), "epoch_2.pth");
  EXPECT_FALSE(*store.PointBest(300));
  EXPECT_EQ(Target("best.pth"), "epoch_2.pth");
}

TEST_F(StoreTest, LinksThatNameOtherFilesAreNotFollowed) {
  CheckpointStore store = Open(0);
  Save(store, 1);
  fs::remove(folder_ + "/latest.pth");
  fs::create_symlink("../../etc/passwd", folder_ + "/latest.pth");
  EXPECT_EQ(FindLatestCheckpoint(folder_)->path, folder_ + "/epoch_1.pth");
}

TEST_F(StoreTest, NothingToResumeFromIsNotFound) {
  EXPECT_EQ(FindLatestCheckpoint(folder_).status().code(), absl::StatusCode::kNotFound);
  fs::create_directories(folder_);
  EXPECT_EQ(FindLatestCheckpoint(folder_).status().code(), absl::StatusCode::kNotFound);
}

// mmengine also writes epoch_N.pth and iter_N.pth, and a user may have a best.pth.
TEST_F(StoreTest, RefusesAFolderWhereOthersHaveItsNames) {
  for (const std::string name : {"epoch_9.pth", "iter_100.pth", "latest.pth", "best.pth"}) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    const std::string path = folder_ + "/" + name;
    Value::Dict meta;
    meta.Append("iteration", 9);
    Value::Dict root;
    root.Append("meta", meta);
    ASSERT_TRUE(WriteTorchFile(path, Value(root)).ok());
    const absl::Status status = CheckpointStore::Open(folder_, 1).status();
    EXPECT_TRUE(absl::IsAlreadyExists(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path + ": found a file that finetune"));
    EXPECT_TRUE(ReadTorchFile(path).ok());
  }
}

TEST_F(StoreTest, NeitherReplacesNorDeletesAFileThatCameWhileItWasOpen) {
  const std::string mine = "somebody's own weights";
  for (const std::string name : {"epoch_2.pth", "latest.pth", "best.pth"}) {
    fs::remove_all(folder_);
    CheckpointStore store = Open(1);
    Save(store, 1, /*is_best=*/true);
    fs::remove(folder_ + "/" + name);
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/" + name, mine).ok());
    EXPECT_TRUE(absl::IsAlreadyExists(store.Save("epoch_2.pth", Root(200), {200})));
    EXPECT_TRUE(absl::IsAlreadyExists(store.RemoveAll()));
    EXPECT_EQ(*ReadFile(folder_ + "/" + name), mine);
  }
}

TEST_F(StoreTest, KnowsItsOwnCheckpointsAlsoWhereTheyAreDamaged) {
  {
    CheckpointStore store = Open(0);
    for (int epoch = 1; epoch <= 3; ++epoch) Save(store, epoch);
  }
  Damage("epoch_2.pth");
  fs::resize_file(folder_ + "/epoch_3.pth", 0);
  CheckpointStore store = Open(0);
  Save(store, 2);
  Save(store, 3);
  EXPECT_EQ(FindLatestCheckpoint(folder_)->path, folder_ + "/epoch_3.pth");
}

TEST_F(StoreTest, CheckpointsOfOtherProgramsAreNotResumedFrom) {
  CheckpointStore store = Open(1);
  Save(store, 2);
  ASSERT_TRUE(WriteTorchFile(folder_ + "/epoch_9.pth", Value(Value::Dict())).ok());
  const absl::StatusOr<FoundCheckpoint> found = FindLatestCheckpoint(folder_);
  EXPECT_EQ(found->path, folder_ + "/epoch_2.pth");
  EXPECT_THAT(found->skipped, ElementsAre(HasSubstr("no integer meta.iteration")));
}

// After an update of finetune a folder may have older checkpoints without meta.format_version and
// newer ones with it.
TEST_F(StoreTest, ReadsCheckpointsOfBeforeFormatsHadNumbers) {
  CheckpointStore store = Open(0);
  Save(store, 1);
  EXPECT_TRUE(FindLatestCheckpoint(folder_).ok());
  Value::Dict root = *Root(200).dict();
  Value::Dict meta;
  AppendWriter(&meta);
  meta.Append("iteration", 200);
  root.entries().front().second = meta;
  ASSERT_TRUE(store.Save("epoch_2.pth", root).ok());
  const absl::StatusOr<FoundCheckpoint> found = FindLatestCheckpoint(folder_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->path, folder_ + "/epoch_2.pth");
}

// The newest checkpoint has a newer format. It must be an error: resuming from an older checkpoint
// instead would lose work.
TEST_F(StoreTest, RefusesCheckpointsOfANewerFormatByName) {
  {
    CheckpointStore store = Open(0);
    Save(store, 1);
    Value::Dict meta;
    meta.Append("writer", "finetune 9.8.7");
    meta.Append("format_version", kCheckpointFormatVersion + 1);
    meta.Append("iteration", 200);
    Value::Dict root;
    root.Append("meta", meta);
    ASSERT_TRUE(store.Save("epoch_2.pth", root).ok());
  }
  EXPECT_EQ(FindLatestCheckpoint(folder_).status(),
            absl::InvalidArgumentError(folder_ +
                                       "/epoch_2.pth: meta.format_version: is 2, written by "
                                       "finetune 9.8.7; finetune 0.1.0 reads formats up to 1: use "
                                       "finetune 9.8.7 or a newer one"));
}

TEST_F(StoreTest, DoesNotReadAgainWhatIsKnown) {
  {
    CheckpointStore store = Open(0);
    for (const int epoch : {1, 2}) Save(store, epoch);
  }
  const absl::StatusOr<FoundCheckpoint> found = FindLatestCheckpoint(folder_);
  ASSERT_TRUE(found.ok()) << found.status();
  {
    // After FindLatestCheckpoint() another run saves a checkpoint and ends.
    CheckpointStore store = Open(0);
    Save(store, 3, /*is_best=*/true);
  }
  // This checkpoint is known, so Open() must not read it again. If it did, it would find it damaged
  // and the store would never delete it.
  Damage("epoch_1.pth");
  absl::StatusOr<CheckpointStore> store = CheckpointStore::Open(folder_, 2, found->saved);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(*store->BestIteration(), 300);
  Save(*store, 4);
  EXPECT_THAT(Checkpoints(),
              UnorderedElementsAre("epoch_3.pth", "epoch_4.pth", "latest.pth", "best.pth"));
}

TEST_F(StoreTest, WeightsThatAreNotFiniteArePassedOverAndNamed) {
  CheckpointStore store = Open(0);
  Save(store, 1);
  Value::Dict root = *Root(200).dict();
  root.entries().back().second =
      Value::FromTensors({{"w", at::full({100}, std::numeric_limits<float>::quiet_NaN())}});
  ASSERT_TRUE(store.Save("epoch_2.pth", root).ok());
  const absl::StatusOr<FoundCheckpoint> found = FindLatestCheckpoint(folder_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->path, folder_ + "/epoch_1.pth");
  EXPECT_THAT(found->skipped,
              ElementsAre(AllOf(HasSubstr("epoch_2.pth: state_dict.w"), HasSubstr("not finite"))));
}

TEST_F(StoreTest, TensorsInListsThatAreNotFiniteArePassedOverAndNamed) {
  CheckpointStore store = Open(0);
  Save(store, 1);
  Value::Dict optimizer;
  optimizer.Append("norms",
                   Value::List{at::full({2}, 1.0), at::full({2}, 2),
                               Value::List{at::full({2}, std::numeric_limits<float>::infinity())}});
  Value::Dict root = *Root(200).dict();
  root.Append("optimizer", optimizer);
  ASSERT_TRUE(store.Save("epoch_2.pth", root, {}).ok());
  const absl::StatusOr<FoundCheckpoint> found = FindLatestCheckpoint(folder_);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->path, folder_ + "/epoch_1.pth");
  EXPECT_THAT(found->skipped, ElementsAre(HasSubstr("epoch_2.pth: optimizer.norms.2.0 holds "
                                                    "values that are not finite")));
}

// Simulates a file system without symbolic links (parameter true) or without any links (false). The
// store must then use hard links or copies.
class StoreWithoutLinksTest : public StoreTest, public testing::WithParamInterface<bool> {
 protected:
  StoreWithoutLinksTest() {
    setenv("NO_SYMBOLIC_LINKS", "1", 1);
    if (!GetParam()) setenv("NO_HARD_LINKS", "1", 1);
  }
  ~StoreWithoutLinksTest() override {
    unsetenv("NO_SYMBOLIC_LINKS");
    unsetenv("NO_HARD_LINKS");
  }
};

INSTANTIATE_TEST_SUITE_P(HardLinks, StoreWithoutLinksTest, testing::Bool());

TEST_P(StoreWithoutLinksTest, KeepsTheLastAndTheBestAlsoAfterARestart) {
  for (const int first : {1, 3, 5}) {
    CheckpointStore store = Open(2);
    Save(store, first, /*is_best=*/first == 3);
    if (first < 5) Save(store, first + 1);
  }
  EXPECT_THAT(Checkpoints(), UnorderedElementsAre("epoch_3.pth", "epoch_4.pth", "epoch_5.pth",
                                                  "latest.pth", "best.pth"));
  for (const auto& [name, iteration] : {std::pair{"latest.pth", 500}, {"best.pth", 300}}) {
    EXPECT_FALSE(fs::is_symlink(folder_ + "/" + name));
    EXPECT_EQ(*ReadTorchFile(folder_ + "/" + name)->Get("meta")->GetInt("iteration"), iteration);
  }
  EXPECT_EQ(fs::equivalent(folder_ + "/latest.pth", folder_ + "/epoch_5.pth"), GetParam());
  EXPECT_EQ(*Open(2).BestIteration(), 300);
  EXPECT_EQ(FindLatestCheckpoint(folder_)->path, folder_ + "/epoch_5.pth");
}

TEST_P(StoreWithoutLinksTest, ARunThatWentBackIsTheLatest) {
  CheckpointStore store = Open(0);
  for (int epoch = 1; epoch <= 4; ++epoch) Save(store, epoch, /*is_best=*/epoch == 2);
  Save(store, 2);
  EXPECT_EQ(FindLatestCheckpoint(folder_)->path, folder_ + "/epoch_2.pth");
  EXPECT_EQ(*store.BestIteration(), std::nullopt);
  EXPECT_FALSE(fs::exists(folder_ + "/best.pth"));
}

TEST_F(StoreTest, RemovesOnlyIncompleteFilesOfDeadRuns) {
  fs::create_directories(folder_);
  for (const char* name : {"epoch_3.pth.aB3xYz.tmp", "iter_7.pth.000000.tmp",
                           "latest.pth.newone.tmp", "best.pth.newone.tmp"}) {
    std::ofstream(folder_ + "/" + name) << "half";
  }
  const std::vector<std::string> others = {
      "notes.tmp",          "epoch_3.pth.bak",         "epoch_3.pth.tmp",
      "epoch_3.aB3xYz.tmp", "epoch_3.pth.aB3xY.tmp",   "epoch_3.pth.aB3x_z.tmp",
      "epoch_.pth.tmp",     "epochs_3.pth.aB3xYz.tmp", "first.pth.aB3xYz.tmp"};
  for (const std::string& name : others) std::ofstream(folder_ + "/" + name) << "half";
  CheckpointStore store = Open(1);
  EXPECT_THAT(Checkpoints(), testing::UnorderedElementsAreArray(others));
}

TEST_F(StoreTest, ASecondRunInTheSameFolderIsRefused) {
  {
    CheckpointStore store = Open(1);
    const absl::Status second = CheckpointStore::Open(folder_, 1).status();
    EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(second.message()),
                AllOf(HasSubstr(folder_), HasSubstr("process " + std::to_string(getpid()))));
  }
  EXPECT_TRUE(CheckpointStore::Open(folder_, 1).ok());
}

TEST_F(StoreTest, AnAliasOutlivesACrashOfTheMachine) {
  fs::create_directories(folder_);
  const size_t before = SyncedPaths().size();
  ASSERT_TRUE(PointAlias(folder_, "latest.pth", "epoch_1.pth").ok());
  const std::vector<std::string> synced = SyncedPaths();
  ASSERT_EQ(synced.size(), before + 1);
  EXPECT_EQ(synced.back(), fs::canonical(folder_).string());
}

TEST_F(StoreTest, OtherNamesAndRootsAreRefused) {
  CheckpointStore store = Open(1);
  for (const char* name :
       {"../epoch_1.pth", "epoch_.pth", "epoch_1", "1.pth", "iter_1x.pth", "epoch_-1.pth",
        "epoch_1234567890123456789.pth", "epoch_1.pth.pth", "latest.pth"}) {
    EXPECT_EQ(store.Save(name, Root(1)).code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_FALSE(store.Save("epoch_1.pth", Value(Value::Dict())).ok());
  EXPECT_THAT(Checkpoints(), IsEmpty());
}

TEST_F(StoreTest, AWorkDirThatCannotBeMadeIsForTheUserToChange) {
  fs::create_directories(folder_);
  std::ofstream(folder_ + "/file") << "not a folder";
  const absl::Status status = CheckpointStore::Open(folder_ + "/file", 1).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(status.message(), "cannot create the work_dir " + folder_ + "/file: Not a directory");
  EXPECT_TRUE(absl::IsInvalidArgument(CheckpointStore::Open("/proc/nowhere", 1).status()));
}

}  // namespace
}  // namespace finetune
