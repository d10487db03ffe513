// Runs that lack something: file descriptors, shared memory, address space, a home folder that can
// be written, a disk with space. Each of them runs all the same, or ends with a message that names
// what it lacks. It is not ended by a signal, and does not hang: Job kills it then, and fails.
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

class StarvedTest : public TrainingTest {
 protected:
  void SetUp() override {
    TrainingTest::SetUp();
    WriteResNet();
  }

  // Expects that the run has ended well, or with a message that matches `lack`. Returns whether it
  // has ended well.
  static bool ExpectRunsOrNames(const Outcome& outcome, const std::string& lack) {
    EXPECT_LT(outcome.exit_code, 128) << "a signal has ended it\n" << outcome.output;
    if (outcome.exit_code == 0) return true;
    EXPECT_THAT(outcome.output, ContainsRegex(lack));
    return false;
  }

  // Returns a command that runs `command` where the file system `options` of mount is at `place`.
  // `command` must hold no single quote.
  static std::string WithMount(const std::string& options, const std::string& place,
                               const std::string& command) {
    return absl::StrCat("unshare --mount bash -c 'mount -t tmpfs -o ", options, " none ", place,
                        " && exec ", command, "'");
  }

  bool MayMount() { return Run(WithMount("size=1m", folder_, "true")).exit_code == 0; }
};

TEST_F(StarvedTest, OfFileDescriptors) {
  bool enough = false, too_few = false;
  for (const int limit : {6, 8, 10, 64}) {
    SCOPED_TRACE(absl::StrCat("ulimit -n ", limit));
    const std::string run = absl::StrCat("run", limit);
    const bool runs = ExpectRunsOrNames(Run(absl::StrCat("bash -c 'ulimit -n ", limit, "; exec ",
                                                         Finetune(run, "--max_iterations=1"), "'")),
                                        "Too many open files|file descriptors|Error 24");
    (runs ? enough : too_few) = true;
  }
  EXPECT_TRUE(enough && too_few);
}

TEST_F(StarvedTest, OfAddressSpace) {
  bool enough = false, too_little = false;
  for (const int mebibytes : {100, 400, 700, 20000}) {
    SCOPED_TRACE(absl::StrCat("ulimit -v, ", mebibytes, " MiB"));
    const bool runs = ExpectRunsOrNames(
        Run(absl::StrCat("bash -c 'ulimit -v ", mebibytes * 1024, "; exec ",
                         Finetune(absl::StrCat("run", mebibytes), "--max_iterations=1"), "'")),
        "[Oo]ut of memory|[Cc]annot allocate memory|failed to map|Resource temporarily "
        "unavailable");
    (runs ? enough : too_little) = true;
  }
  EXPECT_TRUE(enough && too_little);
}

TEST_F(StarvedTest, OfSharedMemory) {
  if (!MayMount()) GTEST_SKIP() << "the test mounts, and must run as root (CAP_SYS_ADMIN)";
  for (const char* options : {"size=4k", "ro"}) {
    SCOPED_TRACE(options);
    ExpectRunsOrNames(
        Run(WithMount(options, "/dev/shm",
                      Mpirun(2, absl::StrCat("run-", options), "--max_iterations=1"))),
        "/dev/shm|[Ss]hared memory");
  }
}

TEST_F(StarvedTest, OfAHomeFolder) {
  for (const char* home : {"HOME=/proc", "HOME=/nonexistent", "-u HOME"}) {
    const Outcome outcome =
        Run(absl::StrCat("env ", home, " ", Finetune("run", "--max_iterations=1 --overwrite")));
    EXPECT_EQ(outcome.exit_code, 0) << home << "\n" << outcome.output;
  }
}

TEST_F(StarvedTest, OfSpaceForItsFirstFiles) {
  if (!MayMount()) GTEST_SKIP() << "the test mounts, and must run as root (CAP_SYS_ADMIN)";
  fs::create_directories(folder_ + "/run");
  // The smallest tmpfs has one page for files.
  const Outcome run = Run(WithMount("size=4k", folder_ + "/run", Finetune("run")));
  EXPECT_EQ(run.exit_code, 1) << run.output;
  EXPECT_THAT(run.output, AllOf(HasSubstr("/run/"), HasSubstr("No space left on device")));
  fs::create_directories(folder_ + "/small");
  const Outcome data = Run(WithMount(
      "size=40k", folder_ + "/small",
      absl::StrCat(prepare_, " synthetic --classes=4 --train=72 --test=24 --output=", folder_,
                   "/small/data")));
  EXPECT_EQ(data.exit_code, 1) << data.output;
  EXPECT_THAT(data.output, AllOf(HasSubstr("/small/data"), HasSubstr("No space left on device")));
}

}  // namespace
}  // namespace finetune
