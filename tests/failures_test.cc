// Tests failures while ranks train: the job soon ends with a message that names the place and the
// reason. Job kills a job that hangs, and fails its test.
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/checkpoint/reader.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kForEver[] = "--set=schedule.max_epochs=1000000 ";

// Returns the size of the process's writable memory in KiB.
int64_t DataMemory(pid_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  std::string word;
  int64_t kib = -1;
  while (status >> word) {
    if (word == "VmData:") status >> kib;
  }
  return kib;
}

class FailuresTest : public TrainingTest {
 protected:
  void SetUp() override {
    TrainingTest::SetUp();
    WriteResNet();
  }

  // Expects that the checkpoint that was saved before a rank failed can be read.
  void ExpectGoodCheckpoint() const {
    const auto saved = ReadTorchFile(folder_ + "/run/latest.pth");
    EXPECT_TRUE(saved.ok()) << saved.status();
  }

  // Returns the text of all of the run's log files.
  std::string Logs() const {
    std::string logs;
    for (const auto& entry : fs::directory_iterator(folder_ + "/run")) {
      if (entry.path().extension() == ".log") logs += ReadFile(entry.path().string()).value_or("");
    }
    return logs;
  }

  // Makes the mounts that follow visible only to this process and its children. They end with these
  // processes.
  void OwnMounts() {
    ASSERT_EQ(unshare(CLONE_NEWNS), 0)
        << std::strerror(errno) << ": this test mounts, and must run as root (in a container: with "
        << "CAP_SYS_ADMIN)";
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << std::strerror(errno);
  }
};

TEST_F(FailuresTest, AStoppedRankIsNamedWithWhatItWasDoing) {
  Job job(Mpirun(3, "run",
                 absl::StrCat(kForEver,
                              "--set=comm.stall_warning_seconds=1 "
                              "--set=comm.timeout_seconds=3")),
          folder_ + "/log");
  ASSERT_TRUE(job.WaitFor("epoch 2 [1/5]"));
  const pid_t rank = job.PidOfRank(1);
  ASSERT_GT(rank, 0);
  kill(rank, SIGSTOP);
  const Outcome outcome = job.Wait();
  EXPECT_NE(outcome.exit_code, 0);
  // The message is also in the run's own log.
  for (const std::string& text : {outcome.output, Logs()}) {
    EXPECT_THAT(text,
                ContainsRegex("rank 1 \\(host [^)]+\\) (has not come to|holds up) collective "
                              "[^\n]*not heard of for [^\n]*it was at: (iteration|validation after "
                              "iteration) [0-9]+"));
    EXPECT_THAT(text, HasSubstr("over comm.timeout_seconds: ending the job"));
  }
  ExpectGoodCheckpoint();
}

TEST_F(FailuresTest, AnExceptionThatNobodyCatchesIsSaidWithItsRankAndEndsTheJob) {
  const Outcome outcome =
      Run(absl::StrCat("mpirun -np 3 --oversubscribe --bind-to none -x LD_PRELOAD=",
                       fs::absolute("tests/throwing_read.so").string(),
                       " -x THROW_ON_RANK=1 -x THROW_AT=600 ", Finetune("run", kForEver)));
  // MPICH's mpiexec exits with 9, the signal by which it ends the other ranks.
  EXPECT_EQ(outcome.exit_code, UnderOpenMpi() ? 1 : 9) << outcome.output;
  EXPECT_THAT(outcome.output,
              ContainsRegex("rank 1 \\(host [^)]+\\): a bug that nobody thought of"));
  ExpectGoodCheckpoint();
}

TEST_F(FailuresTest, ARankThatRunsOutOfMemoryIsNamed) {
  // The first validation, long after the limit is set, takes far more memory than training.
  Job job(Mpirun(2, "run",
                 absl::StrCat(kForEver,
                              "--set=schedule.val_interval_epochs=100 "
                              "--set=data.val.total_batch_size=24 "
                              "'--set=data.val.pipeline=[{resize {size: 512}}, "
                              "{normalize {}}]'")),
          folder_ + "/log");
  ASSERT_TRUE(job.WaitFor("epoch 3 [1/5]"));
  const pid_t rank = job.PidOfRank(1);
  ASSERT_GT(rank, 0);
  const rlim_t bytes = (DataMemory(rank) + (16 << 10)) << 10;
  const rlimit limit = {bytes, bytes};
  ASSERT_EQ(prlimit(rank, RLIMIT_DATA, &limit, nullptr), 0) << std::strerror(errno);
  const Outcome outcome = job.Wait();
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, ContainsRegex("rank 1 \\(host [^)]+\\): out of memory: [^\n]*"
                                            "data.train.micro_batch_size"));
  ExpectGoodCheckpoint();
}

TEST_F(FailuresTest, AFullDiskEndsTheRunAndTheLastCheckpointStays) {
  OwnMounts();
  const std::string run = folder_ + "/run";
  fs::create_directories(run);
  ASSERT_EQ(mount("none", run.c_str(), "tmpfs", 0, "size=8m"), 0) << std::strerror(errno);
  const Outcome first = Run(Mpirun(2, "run", "--max_iterations=5"));
  ASSERT_EQ(first.exit_code, 0) << first.output;
  const auto space = fs::space(run);
  const uint64_t checkpoint = fs::file_size(run + "/epoch_1.pth");
  // The free space is half of the size of the next checkpoint.
  ASSERT_TRUE(
      WriteFileAtomically(run + "/filler", std::string(space.available - checkpoint / 2, '\0'))
          .ok());
  const Outcome second = Run(Mpirun(2, "run", "--resume=auto"));
  EXPECT_NE(second.exit_code, 0) << second.output;
  EXPECT_THAT(second.output,
              ContainsRegex("rank 0 \\(host [^)]+\\): cannot write a checkpoint: cannot [a-z]+ "
                            "[^\n]*/run/epoch_[23].pth: No space left on device"));
  // No incomplete file is left.
  for (const auto& entry : fs::directory_iterator(run)) {
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  }
  const Outcome evaluation =
      Run(absl::StrCat("mpirun -np 2 --oversubscribe ", finetune_, " evaluate --config=", config(),
                       " --checkpoint=", run, "/latest.pth"));
  EXPECT_EQ(evaluation.exit_code, 0) << evaluation.output;
  EXPECT_THAT(evaluation.output, HasSubstr("24 images"));
  // With enough free space the run resumes.
  fs::remove(run + "/filler");
  const Outcome third = Run(Mpirun(2, "run", "--resume=auto"));
  EXPECT_EQ(third.exit_code, 0) << third.output;
  EXPECT_THAT(third.output, HasSubstr("epoch_1.pth at iteration 5"));
}

TEST_F(FailuresTest, AFileSystemWithoutLinksKeepsLatestAndBestAsCopies) {
  const std::string without = absl::StrCat("env NO_SYMBOLIC_LINKS=1 NO_HARD_LINKS=1 LD_PRELOAD=",
                                           fs::absolute("tests/no_links.so").string(), " ");
  const Outcome first = Run(without + Finetune("run", "--max_iterations=5"));
  ASSERT_EQ(first.exit_code, 0) << first.output;
  const Outcome second = Run(without + Finetune("run", "--resume=auto"));
  ASSERT_EQ(second.exit_code, 0) << second.output;
  EXPECT_THAT(second.output, HasSubstr("epoch_1.pth at iteration 5"));
  for (const char* name : {"latest.pth", "best.pth"}) {
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(absl::StrCat(folder_, "/run/", name))));
  }
  ExpectSameCheckpoints("run/latest.pth", "run/epoch_3.pth");
}

TEST_F(FailuresTest, ARankWithAnotherProgramIsNamed) {
  std::string program = *ReadFile(finetune_);
  // The header of the ELF note with the linker's build id: the size of the name, the size of the id
  // (20 bytes), the type and the name.
  const std::string note("\4\0\0\0\24\0\0\0\3\0\0\0GNU\0", 16);
  const size_t at = program.find(note);
  ASSERT_NE(at, std::string::npos);
  program[at + note.size()] ^= 1;
  const std::string other = folder_ + "/finetune";
  ASSERT_TRUE(WriteFileAtomically(other, program).ok());
  fs::permissions(other, fs::perms::owner_all);
  const Outcome outcome = Run(absl::StrCat(
      Mpirun(2, "run"), " : -np 1 ", absl::StrReplaceAll(Finetune("run"), {{finetune_, other}})));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output,
              ContainsRegex("the ranks differ: the program's build id is [0-9a-f]+ on rank 2 "
                            "\\(host [^)]+\\), but [0-9a-f]+ on 2 ranks such as rank 0"));
  EXPECT_THAT(outcome.output, Not(HasSubstr("epoch 1")));
}

TEST_F(FailuresTest, ARankWithAnotherConfigIsNamedWithItsValue) {
  const Outcome outcome = Run(
      absl::StrCat(Mpirun(1, "run"), " : -np 1 ",
                   Finetune("run", "--set=optimizer.sgd.lr=0.1 --set=optimizer.sgd.nesterov=true"),
                   " : -np 1 ", Finetune("run")));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(
      outcome.output,
      ContainsRegex("the ranks differ: optimizer.sgd.lr is 0.1 on rank 1 \\(host [^)]+\\), "
                    "but 0.05 on 2 ranks such as rank 0 \\(host [^)]+\\); "
                    "optimizer.sgd.nesterov is true on rank 1 \\(host [^)]+\\), but unset on "
                    "2 ranks such as rank 0"));
  EXPECT_THAT(outcome.output, Not(HasSubstr("epoch 1")));
}

// The same path holds other images on one rank's host.
TEST_F(FailuresTest, ARankWithOtherDataIsNamed) {
  const Outcome data = Run(absl::StrCat(
      prepare_, " synthetic --classes=4 --train=72 --test=24 --shards=2 --output=", folder_,
      "/other"));
  ASSERT_EQ(data.exit_code, 0) << data.output;
  const Outcome outcome =
      Run(absl::StrCat(Mpirun(2, "run"), " : -np 1 unshare --mount bash -c 'mount --bind ", folder_,
                       "/other ", folder_, "/data && exec ", Finetune("run"), "'"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output,
              ContainsRegex("the ranks differ: the data's manifest is [0-9a-f]+ on rank 2 \\(host "
                            "[^)]+\\), but [0-9a-f]+ on 2 ranks such as rank 0"));
  EXPECT_THAT(outcome.output, Not(HasSubstr("epoch 1")));
}

}  // namespace
}  // namespace finetune
