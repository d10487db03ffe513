// Replays crashes of the machine during a run, as ALICE does (Pillai et al., 2014): after each call
// that changes a file, every outcome that POSIX allows for the calls without a later fsync is
// tried. Each of them must be a work_dir from which --resume=auto goes on.
//
// tests/recorded_calls.cc records the calls of a run. `Disk` follows them, and lists the outcomes.
// POSIX allows any of these changes to be lost or kept, in any order: the bytes of a file until
// fsync() of the file, and the names in a folder until fsync() of the folder. The files of an
// outcome are made in a new folder, and RunFolder, which a resumed run starts with, opens it.
//
// crash_test tries a part of the orders of more than kWhole changes; every_crash_test, the same
// program compiled with CRASH_EVERY_ORDER, tries more of them.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/base/test_folder.h"
#include "src/train/run_folder.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// Of at most this many changes of names, every subset is tried.
#ifdef CRASH_EVERY_ORDER
constexpr size_t kWhole = 10;
#else
constexpr size_t kWhole = 3;
#endif

constexpr char kLock[] = ".checkpoints.lock";

// One entry of the log of tests/recorded_calls.cc.
struct Call {
  std::string kind;
  uint64_t inode = 0;
  int64_t number = 0;
  std::string data;
};

std::vector<Call> ReadCalls(const std::string& path) {
  const std::string log = *ReadFile(path);
  std::vector<Call> calls;
  for (size_t at = 0; at < log.size();) {
    const size_t end = log.find('\n', at);
    const std::vector<std::string> words = absl::StrSplit(log.substr(at, end - at), ' ');
    Call call;
    size_t bytes = 0;
    if (words.size() != 4 || !absl::SimpleAtoi(words[1], &call.inode) ||
        !absl::SimpleAtoi(words[2], &call.number) || !absl::SimpleAtoi(words[3], &bytes)) {
      ADD_FAILURE() << "a damaged log at byte " << at;
      return calls;
    }
    call.kind = words[0];
    call.data = log.substr(end + 1, bytes);
    calls.push_back(std::move(call));
    at = end + 1 + bytes + 1;
  }
  return calls;
}

// What a crash leaves of the bytes that were written after the last fsync of their file.
enum class Bytes { kAll, kNone, kHalf, kZeros };

// A file or a symbolic link in a folder.
struct Entry {
  bool is_link = false;
  std::string link;  // the text of a symbolic link
  int file = 0;      // the number of the file
};
using Folder = std::map<std::string, Entry>;

// The files after a crash: for each name the text of a link, or the bytes of a file and a key that
// equal bytes have in common.
struct Left {
  std::string key;
  std::string link;
  const std::string* bytes = nullptr;  // null for a link
};
using Crashed = std::map<std::string, Left>;

// A folder of files on a disk that may lose the power.
class Disk {
 public:
  void Apply(const Call& call) {
    if (call.kind == "open") {
      if (!now_.contains(call.data)) {
        files_.emplace_back();
        numbers_[call.inode] = static_cast<int>(files_.size()) - 1;
        Change({"", call.data, {false, "", numbers_[call.inode]}});
      } else if (!numbers_.contains(call.inode)) {
        ADD_FAILURE() << call.data << " is opened, but was not made by a recorded call";
      }
      if (call.number == 1) Write(call.inode, [](std::string& bytes) { bytes.clear(); });
    } else if (call.kind == "write") {
      Write(call.inode, [&](std::string& bytes) {
        const auto at = static_cast<size_t>(call.number);
        bytes.resize(std::max(bytes.size(), at + call.data.size()));
        bytes.replace(at, call.data.size(), call.data);
      });
    } else if (call.kind == "truncate") {
      Write(call.inode, [&](std::string& bytes) { bytes.resize(call.number); });
    } else if (call.kind == "sync") {
      if (call.number == 1) {
        durable_ = now_;
        changes_.clear();
      } else if (numbers_.contains(call.inode)) {
        File& file = files_[numbers_[call.inode]];
        file.durable = file.now;
        file.dirty = false;
      }
    } else if (call.kind == "unlink") {
      Change({call.data, "", {}});
    } else {
      const std::pair<std::string, std::string> names =
          absl::StrSplit(call.data, absl::MaxSplits('\0', 1));
      if (call.kind == "symlink") {
        Change({"", names.second, {true, names.first, 0}});
      } else if (!now_.contains(names.first)) {
        ADD_FAILURE() << call.kind << " of " << names.first << ", which is not there";
      } else {
        Change({call.kind == "rename" ? names.first : "", names.second, now_[names.first]});
      }
    }
  }

  // Calls `check` with each outcome of a crash at this time.
  void ForEachOutcome(const std::function<void(const Crashed&)>& check) {
    for (const std::vector<bool>& kept : Orders()) {
      Folder folder = durable_;
      for (size_t i = 0; i < changes_.size(); ++i) {
        if (kept[i]) Do(changes_[i], folder);
      }
      for (const Bytes bytes : {Bytes::kAll, Bytes::kNone, Bytes::kHalf, Bytes::kZeros}) {
        Crashed outcome;
        bool any_dirty = false;
        for (const auto& [name, entry] : folder) {
          if (entry.is_link) {
            outcome[name] = {absl::StrCat("->", entry.link), entry.link, nullptr};
            continue;
          }
          any_dirty = any_dirty || files_[entry.file].dirty;
          outcome[name] = LeftOf(entry.file, bytes);
        }
        check(outcome);
        if (!any_dirty) break;  // the other ways give the same
      }
    }
  }

  // Returns the number in the name of the checkpoint that every outcome has at least: latest.pth
  // names it, and both are synced. Returns -1 if there is none.
  int64_t Promised() const {
    const auto latest = durable_.find("latest.pth");
    if (latest == durable_.end() || !latest->second.is_link) return -1;
    const std::string name = latest->second.link;
    const auto checkpoint = durable_.find(name);
    if (checkpoint == durable_.end() || files_[checkpoint->second.file].dirty) return -1;
    for (const NameChange& change : changes_) {
      if (change.removed == name || change.removed == "latest.pth") return -1;
    }
    absl::string_view digits = name;
    int64_t number = -1;
    (void)(absl::ConsumePrefix(&digits, "epoch_") && absl::ConsumeSuffix(&digits, ".pth") &&
           absl::SimpleAtoi(digits, &number));
    return number;
  }

 private:
  struct File {
    std::string durable, now;
    bool dirty = false;  // whether `now` has changes that are not synced
    std::map<Bytes, std::shared_ptr<const std::string>> left;
    int version = 0;
  };
  // A change of the folder's names. `removed`, `set`: names, or "".
  struct NameChange {
    std::string removed, set;
    Entry entry;
  };

  static void Do(const NameChange& change, Folder& folder) {
    if (!change.removed.empty()) folder.erase(change.removed);
    if (!change.set.empty()) folder[change.set] = change.entry;
  }

  void Change(NameChange change) {
    Do(change, now_);
    changes_.push_back(std::move(change));
  }

  template <typename Function>
  void Write(uint64_t inode, Function change) {
    const auto found = numbers_.find(inode);
    if (found == numbers_.end()) {
      ADD_FAILURE() << "a write to a file that no recorded call has made";
      return;
    }
    File& file = files_[found->second];
    change(file.now);
    file.dirty = true;
    file.left.clear();
    ++file.version;
  }

  Left LeftOf(int number, Bytes bytes) {
    File& file = files_[number];
    if (!file.dirty) bytes = Bytes::kAll;
    std::shared_ptr<const std::string>& left = file.left[bytes];
    if (left == nullptr) {
      std::string text = bytes == Bytes::kNone ? file.durable : file.now;
      // The bytes that the synced ones have in common with the new ones are on the disk.
      const size_t same =
          std::mismatch(file.durable.begin(), file.durable.end(), file.now.begin(), file.now.end())
              .first -
          file.durable.begin();
      if (bytes == Bytes::kHalf) text.resize(same + (text.size() - same) / 2);
      if (bytes == Bytes::kZeros) std::fill(text.begin() + same, text.end(), '\0');
      left = std::make_shared<const std::string>(std::move(text));
    }
    return {absl::StrCat(number, ".", file.version, ".", static_cast<int>(bytes)), "", left.get()};
  }

  // Returns which of the changes of names are kept, for each outcome to try.
  std::vector<std::vector<bool>> Orders() const {
    const size_t n = changes_.size();
    std::vector<std::vector<bool>> orders;
    if (n <= kWhole) {
      for (size_t bits = 0; bits < size_t{1} << n; ++bits) {
        std::vector<bool>& kept = orders.emplace_back(n);
        for (size_t i = 0; i < n; ++i) kept[i] = ((bits >> i) & 1) != 0;
      }
      return orders;
    }
    // The first ones, all but one, and one alone.
    for (size_t first = 0; first <= n; ++first) {
      std::vector<bool>& kept = orders.emplace_back(n);
      std::fill(kept.begin(), kept.begin() + static_cast<int64_t>(first), true);
    }
    for (const bool others : {true, false}) {
      for (size_t i = 0; i < n; ++i) orders.emplace_back(n, others)[i] = !others;
    }
    return orders;
  }

  std::vector<File> files_;
  std::map<uint64_t, int> numbers_;  // the number of a file, by its inode
  Folder durable_, now_;
  std::vector<NameChange> changes_;  // those of now_ that durable_ does not have, in their order
};

// Returns the contents of one file, in every outcome that has it.
std::set<std::string> ContentsOf(Disk& disk, const std::string& name) {
  std::set<std::string> contents;
  disk.ForEachOutcome([&](const Crashed& outcome) {
    const auto found = outcome.find(name);
    if (found != outcome.end() && found->second.bytes != nullptr) {
      contents.insert(*found->second.bytes);
    }
  });
  return contents;
}

TEST(DiskTest, LosesTheBytesOfARenamedFileUnlessTheyAreSynced) {
  for (const bool synced : {false, true}) {
    Disk disk;
    disk.Apply({"open", 7, 0, "a.tmp"});
    disk.Apply({"write", 7, 0, "text"});
    if (synced) disk.Apply({"sync", 7, 0, ""});
    disk.Apply({"rename", 0, 0, std::string("a.tmp\0a", 7)});
    EXPECT_EQ(ContentsOf(disk, "a").contains(""), !synced);
    EXPECT_TRUE(ContentsOf(disk, "a").contains("text"));
    EXPECT_TRUE(ContentsOf(disk, "a.tmp").contains("text")) << "the rename may be lost";
    disk.Apply({"sync", 1, 1, ""});
    EXPECT_TRUE(ContentsOf(disk, "a.tmp").empty());
  }
}

TEST(DiskTest, KeepsTheNewNameWithoutTheOldOneAndTheReverse) {
  Disk disk;
  disk.Apply({"open", 7, 0, "a"});
  disk.Apply({"open", 8, 0, "b"});
  bool a_alone = false, b_alone = false;
  disk.ForEachOutcome([&](const Crashed& outcome) {
    a_alone = a_alone || (outcome.contains("a") && !outcome.contains("b"));
    b_alone = b_alone || (outcome.contains("b") && !outcome.contains("a"));
  });
  EXPECT_TRUE(a_alone);
  EXPECT_TRUE(b_alone);
}

class CrashTest : public TrainingTest {
 protected:
  void SetUp() override {
    TrainingTest::SetUp();
    WriteResNet();
  }

  // Runs finetune on one rank, and records its calls in the folder `below`.
  void Record(const std::string& flags, const std::string& work_dir = "run",
              const std::string& below = "run") {
    const Outcome outcome = Run(
        absl::StrCat("env LD_PRELOAD=", fs::absolute("tests/recorded_calls.so").string(),
                     " RECORD_BELOW=", folder_, "/", below, " RECORD_LOG=", folder_, "/calls ",
                     Finetune(work_dir, "--quiet --set=runtime.checkpoint.keep_last=1 " + flags)));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }

  // Makes the files of an outcome in a new folder. Equal bytes are links to one file, except the
  // lock, which is written to.
  std::string Make(const Crashed& outcome) {
    const std::string folder = absl::StrCat(folder_, "/crash");
    fs::remove_all(folder);
    fs::create_directories(folder);
    fs::create_directories(folder_ + "/bytes");
    for (const auto& [name, left] : outcome) {
      const std::string path = absl::StrCat(folder, "/", name);
      if (left.bytes == nullptr) {
        fs::create_symlink(left.link, path);
        continue;
      }
      const std::string kept = absl::StrCat(folder_, "/bytes/", left.key);
      if (!fs::exists(kept)) {
        auto file = AtomicFile::Create(kept);
        EXPECT_TRUE(file.ok() && file->Write(*left.bytes).ok() && file->CommitUnsynced().ok());
      }
      if (name == kLock) {
        fs::copy_file(kept, path);
      } else {
        fs::create_hard_link(kept, path);
      }
    }
    return folder;
  }

  // Expects that a run can resume in `folder`, from checkpoint `promised` or a later one.
  static void ExpectResumes(const std::string& folder, int64_t promised) {
    TrainOptions options;
    options.work_dir = folder;
    options.resume = "auto";
    RunFolder run(&options);
    const auto source = run.ReadSource();
    ASSERT_TRUE(source.ok()) << source.status();
    if (promised >= 0) {
      ASSERT_TRUE(source->has_value()) << "checkpoint " << promised << " is lost";
      int64_t found = -1;
      absl::string_view digits = (*source)->path;
      digits.remove_prefix(folder.size());
      ASSERT_TRUE(absl::ConsumePrefix(&digits, "/epoch_") && absl::ConsumeSuffix(&digits, ".pth") &&
                  absl::SimpleAtoi(digits, &found))
          << (*source)->path;
      ASSERT_GE(found, promised);
      EXPECT_TRUE((*source)->skipped.empty()) << absl::StrJoin((*source)->skipped, "\n");
      for (const char* alias : {"latest.pth", "best.pth"}) {
        const std::string path = absl::StrCat(folder, "/", alias);
        if (fs::is_symlink(path)) {
          EXPECT_TRUE(fs::exists(path)) << alias << " leads nowhere";
        }
      }
    }
    const auto keeper = run.Open(/*keep_last=*/1);
    ASSERT_TRUE(keeper.ok()) << keeper.status();
    const std::vector<std::string> names = *ListFolder(folder);
    for (const std::string& name : names) {
      EXPECT_FALSE(absl::EndsWith(name, ".tmp")) << name << " is left by the next run";
      EXPECT_FALSE(absl::EndsWith(name, ".bak")) << name << " was finetune's";
    }
  }
};

TEST_F(CrashTest, TheNameOfANewWorkDirIsSynced) {
  fs::create_directories(folder_ + "/parent");
  ASSERT_NO_FATAL_FAILURE(Record("--max_iterations=1", "parent/run", "parent"));
  const std::vector<Call> calls = ReadCalls(folder_ + "/calls");
  EXPECT_TRUE(std::any_of(calls.begin(), calls.end(), [](const Call& call) {
    return call.kind == "sync" && call.number == 1;
  })) << "the parent is never synced";
}

TEST_F(CrashTest, EveryOutcomeOfACrashCanBeResumed) {
  ASSERT_NO_FATAL_FAILURE(Record("--max_iterations=10"));
  ASSERT_NO_FATAL_FAILURE(Record("--resume=auto"));
  ASSERT_NO_FATAL_FAILURE(Record("--max_iterations=5 --overwrite"));
  const std::vector<Call> calls = ReadCalls(folder_ + "/calls");
  Disk disk;
  std::set<std::string> tried;
  int64_t most_promised = -1;
  for (size_t i = 0; i < calls.size() && !HasFailure(); ++i) {
    disk.Apply(calls[i]);
    // Logs and records are appended to, and never read by a run that resumes.
    if (calls[i].kind == "write" && i + 1 < calls.size() && calls[i + 1].kind == "write") continue;
    const int64_t promised = disk.Promised();
    most_promised = std::max(most_promised, promised);
    disk.ForEachOutcome([&](const Crashed& outcome) {
      std::string key = absl::StrCat(promised);
      std::string files;
      for (const auto& [name, left] : outcome) {
        // Other bytes of a log make no other outcome.
        if (absl::EndsWith(name, ".log") || absl::EndsWith(name, ".jsonl") ||
            absl::StartsWith(name, "events.")) {
          continue;
        }
        absl::StrAppend(&key, "|", name, "=", left.key);
        absl::StrAppend(&files, "\n  ", name, " ",
                        left.bytes == nullptr ? absl::StrCat("-> ", left.link)
                                              : absl::StrCat(left.bytes->size(), " bytes"));
      }
      if (HasFailure() || !tried.insert(key).second) return;
      SCOPED_TRACE(absl::StrCat("a crash after call ", i, ", ", calls[i].kind, " ",
                                calls[i].kind == "write" ? "" : calls[i].data, ", leaves", files));
      ExpectResumes(Make(outcome), promised);
    });
  }
  EXPECT_EQ(most_promised, 3);
  // Each of the four checkpoints (each is written again after its validation) takes a dozen calls.
  EXPECT_GT(tried.size(), 200u);
  RecordProperty("calls", static_cast<int>(calls.size()));
  RecordProperty("outcomes", static_cast<int>(tried.size()));
  std::printf("%zu calls, %zu outcomes\n", calls.size(), tried.size());
}

}  // namespace
}  // namespace finetune
