// Tests runs in each of which one call to the file system fails. The run ends with a message that
// names the file, and leaves no incomplete file under a final name. A run that resumes it computes
// the same bits as a run without a failure. Job kills a run that hangs, and fails the test.
//
// Each kind of call fails once on each kind of file. every_fault_test is the same program compiled
// with FAULT_EVERY_CALL: there each single call fails in turn, and new runs are tried as well as
// resumed ones.
#include <cerrno>
#include <filesystem>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "re2/re2.h"
#include "src/base/atomic_file.h"
#include "src/base/list_folder.h"
#include "src/checkpoint/reader.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

#ifdef FAULT_EVERY_CALL
constexpr bool kEveryCall = true;
#else
constexpr bool kEveryCall = false;
#endif

// A kind of call, as tests/failing_calls.cc names it, and the errno with which it fails.
struct Fault {
  const char* call;
  int error;
};

constexpr Fault kFaults[] = {
    {"open", EMFILE}, {"read", EIO},     {"write", ENOSPC}, {"sync", EIO},     {"rename", EIO},
    {"link", EDQUOT}, {"mkdir", ENOSPC}, {"unlink", EIO},   {"truncate", EIO}, {"close", EIO},
};

void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.call; }

// A call whose failure does not end a run, and the reason why it need not.
struct Survived {
  const char* call;  // a regular expression that matches the whole kind; `path` likewise
  const char* path;
  bool is_named;  // whether a warning names the file
  const char* why;
};

constexpr char kLock[] = ".*/run/\\.checkpoints\\.lock";
constexpr char kReport[] = ".*/run/report\\.html.*";

constexpr Survived kSurvived[] = {
    {"close", ".*", false,
     "only reads and records; a record's failure was found before, by Flush()"},
    {"write", kLock, false, "the lock's text serves only another run's message"},
    {"truncate", kLock, false, "as above"},
    {".*", kReport, true, "the run is over, and `finetune report` makes the report again"},
    {"open|read", ".*/run/[0-9_]+\\.jsonl", true, "the report again"},
    {"read", ".*/run/config\\.pbtxt", true, "the report again"},
    {"open|read", ".*/run/epoch_[0-9]+\\.pth", true,
     "resumes from the checkpoint before, and says so"},
    {"open|read", ".*/run/events\\..*", false, "a TensorBoard file that cannot be told is kept"},
    {"unlink", ".*\\.tmp", false, "the next run deletes it"},
    {"open", ".*/photos", false, "prepare_dataset first asks whether a folder holds archives"},
    {"open", ".*/files", false, "prepare_dataset looks for what killed ones have left"},
    {"open", ".*/data", false,
     "prepare_dataset asks a second time whether the folder is a data set"},
    {"open", ".*\\.h5", false, "HDF5 first asks whether the file exists"},
    {"open|unlink", ".*/data\\.partial-.*", true, "the replaced data set cannot be deleted"},
};

// Returns the contents of a folder's files by their names.
std::map<std::string, std::string> Contents(const std::string& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      contents[fs::relative(entry.path(), folder).string()] = *ReadFile(entry.path().string());
    }
  }
  return contents;
}

class FaultsTest : public TrainingTest, public testing::WithParamInterface<Fault> {
 protected:
  void SetUp() override {
    TrainingTest::SetUp();
    outside_ = folder_;
    folder_ += "/files";
    fs::create_directories(folder_);
  }

  // Runs a command with tests/failing_calls.so. `at`: the value of FAULT_AT. `paths`: gets the
  // paths that the library logs.
  Outcome RunWithFault(const std::string& call, int error, int at, const std::string& command,
                       std::vector<std::string>* paths) const {
    const std::string log = outside_ + "/calls";
    fs::remove(log);
    const Outcome outcome =
        Job(absl::StrCat("env LD_PRELOAD=", fs::absolute("tests/failing_calls.so").string(),
                         " FAULT_BELOW=", folder_, " FAULT_CALL=", call, " FAULT_AT=", at,
                         " FAULT_ERRNO=", error, " FAULT_LOG=", log, " ", command),
            outside_ + "/output")
            .Wait();
    *paths = absl::StrSplit(ReadFile(log).value_or(""), '\n', absl::SkipEmpty());
    return outcome;
  }

  // Runs `command` once for each call that must fail, each time after `prepare`. Then calls `check`
  // on the result.
  template <typename Prepare, typename Check>
  void Sweep(const std::string& command, Prepare prepare, Check check) {
    const auto [call, error] = GetParam();
    prepare();
    std::vector<std::string> all;
    const Outcome untouched = RunWithFault(call, 0, 0, command, &all);
    ASSERT_EQ(untouched.exit_code, 0) << untouched.output;
    std::set<std::string> tried;
    // Threads change the number of calls by a few. With FAULT_EVERY_CALL the loop ends at the first
    // run in which no call failed.
    for (size_t n = 1; n <= all.size() || kEveryCall; ++n) {
      if (!kEveryCall && !tried.insert(KindOf(all[n - 1])).second) continue;
      prepare();
      std::vector<std::string> failed;
      const Outcome outcome = RunWithFault(call, error, static_cast<int>(n), command, &failed);
      if (failed.empty()) {
        EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
        break;
      }
      SCOPED_TRACE(absl::StrCat(call, " ", n, ": ", failed[0], "\n", outcome.output));
      ExpectEndsOrSurvives(outcome, failed[0]);
      check(failed[0]);
    }
  }

  std::string outside_;

 private:
  // Returns a path without the parts that differ between files of the same kind.
  static std::string KindOf(std::string path) {
    RE2::GlobalReplace(&path, R"(\.[A-Za-z0-9]{6}\.tmp$)", ".tmp");
    RE2::GlobalReplace(&path, R"(\.partial-[A-Za-z0-9]{6})", ".partial");
    RE2::GlobalReplace(&path, R"([0-9]+)", "0");
    return path;
  }

  void ExpectEndsOrSurvives(const Outcome& outcome, const std::string& path) const {
    // Messages call an incomplete file by its final name.
    std::string name = fs::path(path).filename().string();
    RE2::GlobalReplace(&name, R"(\.[A-Za-z0-9]{6}\.tmp$)", "");
    RE2::GlobalReplace(&name, R"(\.partial-[A-Za-z0-9]{6}$)", "");
    if (outcome.exit_code == 0) {
      for (const Survived& one : kSurvived) {
        if (!RE2::FullMatch(GetParam().call, one.call) || !RE2::FullMatch(path, one.path)) continue;
        if (one.is_named) {
          const std::string parent = fs::path(path).parent_path().filename().string();
          EXPECT_THAT(outcome.output, testing::AnyOf(HasSubstr(name), HasSubstr(parent + ":")));
        }
        return;
      }
      ADD_FAILURE() << "the run went on";
      return;
    }
    // The run was not ended by a signal, nor killed after Job's time limit.
    EXPECT_LT(outcome.exit_code, 128);
    EXPECT_THAT(outcome.output, HasSubstr(name));
  }
};

class TrainingFaultsTest : public FaultsTest {
 protected:
  void SetUp() override {
    FaultsTest::SetUp();
    WriteResNet();
    const Outcome whole = Run(Command("whole"));
    ASSERT_EQ(whole.exit_code, 0) << whole.output;
  }

  std::string Command(const std::string& work_dir, const std::string& flags = "") const {
    return Finetune(work_dir,
                    "--set=schedule.max_epochs=2 --set=schedule.multi_step.milestones=1 "
                    "--quiet " +
                        flags);
  }

  std::string run() const { return folder_ + "/run"; }

  // Expects that there is no incomplete file, and that a further run with `flags` computes the same
  // bits as the whole run.
  void ExpectGoesOn(const std::string& failed, const std::string& flags) {
    const std::vector<std::string> names =
        fs::exists(run()) ? *ListFolder(run()) : std::vector<std::string>();
    for (const std::string& name : names) {
      if (absl::EndsWith(name, ".tmp")) {
        EXPECT_EQ(GetParam().call, std::string("unlink")) << name << " is left";
      }
      if (!absl::EndsWith(name, ".pth")) continue;
      const auto saved = ReadTorchFile(absl::StrCat(run(), "/", name));
      EXPECT_TRUE(saved.ok()) << saved.status();
    }
    if (!names.empty()) Records("run");  // throws if a record is cut off
    const Outcome next = Run(Command("run", flags));
    ASSERT_EQ(next.exit_code, 0) << next.output;
    ExpectSameCheckpoints("run/latest.pth", "whole/latest.pth");
    ExpectSameCheckpoints("run/best.pth", "whole/best.pth");
    const std::vector<std::string> after = *ListFolder(run());
    for (const std::string& name : after) {
      EXPECT_FALSE(absl::EndsWith(name, ".tmp")) << name << " is left by the next run";
    }
  }
};

#ifdef FAULT_EVERY_CALL
TEST_P(TrainingFaultsTest, ANewRunEndsAndIsResumed) {
  Sweep(
      Command("run"), [&] { fs::remove_all(run()); },
      [&](const std::string& failed) { ExpectGoesOn(failed, "--resume=auto"); });
}
#endif

TEST_P(TrainingFaultsTest, AResumedRunEndsAndIsResumed) {
  const Outcome half = Run(Command("half", "--max_iterations=5"));
  ASSERT_EQ(half.exit_code, 0) << half.output;
  Sweep(
      Command("run", "--resume=auto"),
      [&] {
        fs::remove_all(run());
        fs::copy(folder_ + "/half", run(),
                 fs::copy_options::recursive | fs::copy_options::copy_symlinks);
      },
      [&](const std::string& failed) { ExpectGoesOn(failed, "--resume=auto"); });
}

#ifdef FAULT_EVERY_CALL
TEST_P(TrainingFaultsTest, ARunInPlaceOfAnotherEndsAndIsRepeated) {
  Sweep(
      Command("run", "--overwrite"),
      [&] {
        fs::remove_all(run());
        fs::copy(folder_ + "/whole", run(),
                 fs::copy_options::recursive | fs::copy_options::copy_symlinks);
      },
      [&](const std::string& failed) { ExpectGoesOn(failed, "--overwrite"); });
}
#endif

INSTANTIATE_TEST_SUITE_P(Calls, TrainingFaultsTest, testing::ValuesIn(kFaults),
                         [](const auto& fault) { return std::string(fault.param.call); });

// Partial reads and writes and interrupted calls do not change a run.
using InterruptionsTest = TrainingFaultsTest;

TEST_P(InterruptionsTest, ChangeNothing) {
  for (const std::string flags : {"--max_iterations=5", "--resume=auto"}) {
    std::vector<std::string> none;
    const Outcome outcome = RunWithFault(GetParam().call, 0, 0, Command("run", flags), &none);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }
  ExpectSameCheckpoints("run/latest.pth", "whole/latest.pth");
  ExpectSameCheckpoints("run/best.pth", "whole/best.pth");
  EXPECT_EQ(Losses("run"), Losses("whole"));
}

INSTANTIATE_TEST_SUITE_P(Calls, InterruptionsTest,
                         testing::Values(Fault{"short", 0}, Fault{"interrupt", 0}),
                         [](const auto& fault) { return std::string(fault.param.call); });

class DatasetFaultsTest : public FaultsTest {
 protected:
  void SetUp() override {
    FaultsTest::SetUp();
    // Two classes of 6 images of 4x4 pixels, as PPM.
    for (int i = 0; i < 12; ++i) {
      const std::string folder = absl::StrCat(folder_, "/photos/", i % 2 == 0 ? "cat" : "dog");
      fs::create_directories(folder);
      const std::string pixels(48, static_cast<char>(20 * i));
      ASSERT_TRUE(WriteFileAtomically(absl::StrCat(folder, "/", i, ".ppm"),
                                      absl::StrCat("P6 4 4 255\n", pixels))
                      .ok());
    }
  }

  std::string Command(const std::string& converter, const std::string& output) const {
    const std::string source = converter == "synthetic" ? "--classes=2 --train=8 --test=4"
                                                        : "--input=" + folder_ + "/photos";
    return absl::StrCat(prepare_, " ", converter, " ", source, " --shards=2 --output=", folder_,
                        "/", output);
  }

  // Runs the converter into a new folder and into one that holds another data set.
  void SweepConverter(const std::string& converter) {
    ASSERT_EQ(Run(Command(converter, "whole")).exit_code, 0);
    const std::map<std::string, std::string> whole = Contents(folder_ + "/whole");
    for (const bool replaces : {false, true}) {
      SCOPED_TRACE(replaces ? "in place of another" : "new");
      Sweep(
          Command(converter, "data") + (replaces ? " --force" : ""),
          [&] {
            const std::vector<std::string> names = *ListFolder(folder_);
            for (const std::string& name : names) {
              if (absl::StartsWith(name, "data")) fs::remove_all(folder_ + "/" + name);
            }
            if (replaces) fs::copy(folder_ + "/whole", folder_ + "/data");
          },
          [&](const std::string& failed) {
            const std::vector<std::string> names = *ListFolder(folder_);
            for (const std::string& name : names) {
              // A file that could not be deleted, or not opened in order to be deleted, stays
              // beside the data set.
              if (absl::StartsWith(name, "data.")) {
                EXPECT_THAT(GetParam().call, testing::AnyOf(std::string("unlink"), "open")) << name;
              }
            }
            if (fs::exists(folder_ + "/data")) {
              EXPECT_EQ(Contents(folder_ + "/data"), whole) << "half a data set";
            } else {
              EXPECT_FALSE(replaces) << "the old data set is gone";
            }
            const Outcome next = Run(Command(converter, "data") + " --force");
            ASSERT_EQ(next.exit_code, 0) << next.output;
            EXPECT_EQ(Contents(folder_ + "/data"), whole);
          });
    }
  }
};

TEST_P(DatasetFaultsTest, SyntheticIsMadeWholeOrNotAtAll) { SweepConverter("synthetic"); }

TEST_P(DatasetFaultsTest, AnImageFolderIsMadeWholeOrNotAtAll) { SweepConverter("image_folder"); }

INSTANTIATE_TEST_SUITE_P(Calls, DatasetFaultsTest, testing::ValuesIn(kFaults),
                         [](const auto& fault) { return std::string(fault.param.call); });

}  // namespace
}  // namespace finetune
