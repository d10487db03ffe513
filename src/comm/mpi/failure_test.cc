// Runs failing_ranks under mpirun. Whichever way a rank fails, all ranks must end soon and the
// reason must be printed.
#include <stdio.h>
#include <sys/wait.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

struct Outcome {
  int code;
  std::string output;
  absl::Duration took;
};

Outcome RunCommand(const std::string& words) {
  const absl::Time start = absl::Now();
  // A job that hangs is killed after 60 s. The test then fails because the job took longer than
  // kSoon.
  const std::string command = absl::StrCat("timeout --signal=KILL 60 ", words, " 2>&1");
  FILE* pipe = popen(command.c_str(), "r");
  Outcome outcome;
  char buffer[4096];
  while (size_t n = fread(buffer, 1, sizeof(buffer), pipe)) outcome.output.append(buffer, n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.took = absl::Now() - start;
  return outcome;
}

Outcome RunJob(int ranks, const std::string& arguments) {
  return RunCommand(
      absl::StrCat("tests/mpirun.sh ", ranks, " src/comm/mpi/failing_ranks ", arguments));
}

// The longest time that a job may take to end after a rank has failed. It is far more than a busy
// machine needs.
constexpr absl::Duration kSoon = absl::Seconds(45);

class FailureTest : public testing::TestWithParam<const char*> {
 protected:
  static Outcome Job(const std::string& way, int rank) {
    Outcome outcome = RunJob(3, absl::StrCat(way, " ", rank, " ", GetParam()));
    EXPECT_LT(outcome.took, kSoon) << outcome.output;
    return outcome;
  }
};

TEST_P(FailureTest, AJobThatFailsNowhereSucceeds) {
  const Outcome job = Job("never", 1);
  EXPECT_EQ(job.code, 0) << job.output;
  EXPECT_THAT(job.output, HasSubstr("all rounds done"));
}

TEST_P(FailureTest, AnAbortEndsAllRanksWithItsReason) {
  const Outcome job = Job("abort", 2);
  EXPECT_NE(job.code, 0);
  EXPECT_THAT(job.output,
              ContainsRegex("rank 2 \\(host [^)]+\\): the image 17 of train-00003.h5 is broken"));
  EXPECT_THAT(job.output, Not(HasSubstr("all rounds done")));
}

TEST_P(FailureTest, AKilledRankEndsTheJobAndIsNamed) {
  const Outcome job = Job("kill", 1);
  EXPECT_NE(job.code, 0);
  // The message of the launcher. Open MPI's names the rank, MPICH's only the signal.
  EXPECT_THAT(job.output, ContainsRegex("process rank 1 .* exited on[ \n]signal 9|"
                                        "Killed \\(signal 9\\)"));
}

TEST_P(FailureTest, ARankThatLeavesEndsTheJob) {
  const Outcome job = Job("exit", 1);
  EXPECT_NE(job.code, 0);
  EXPECT_THAT(job.output, Not(HasSubstr("all rounds done")));
}

// Expects that the ranks which wait for the stopped rank `rank` have named it and ended the job.
void ExpectNamesStoppedRank(const Outcome& job, int rank) {
  EXPECT_NE(job.code, 0);
  EXPECT_THAT(job.output, ContainsRegex(absl::StrCat("rank ", rank,
                                                     " \\(host [^)]+\\) (has not come to|holds "
                                                     "up) collective")));
  EXPECT_THAT(job.output, HasSubstr("over comm.timeout_seconds: ending the job"));
}

TEST_P(FailureTest, AStoppedRankIsNamedAndEndsTheJob) {
  const Outcome job = Job("stop", 1);
  ExpectNamesStoppedRank(job, 1);
  EXPECT_THAT(job.output, HasSubstr("not heard of for"));
}

TEST_P(FailureTest, RankZeroIsWatchedByTheOthers) { ExpectNamesStoppedRank(Job("stop", 0), 0); }

TEST_P(FailureTest, ARankThatHangsIsNamedWithWhatItWasDoing) {
  const Outcome job = Job("hang", 2);
  EXPECT_NE(job.code, 0);
  EXPECT_THAT(job.output,
              ContainsRegex(
                  "rank 2 \\(host [^)]+\\) has not come to collective [0-9]+ \\(all-reduce\\) for "
                  "[0-9.]+ s; it is at: iteration 5: loading data"));
  EXPECT_THAT(job.output, HasSubstr("over comm.timeout_seconds: ending the job"));
}

TEST_P(FailureTest, ARankThatIsOnlySlowIsNamedAndTheJobGoesOn) {
  const Outcome job = Job("pause", 1);
  EXPECT_EQ(job.code, 0) << job.output;
  EXPECT_THAT(job.output, ContainsRegex("rank 1 \\(host [^)]+\\) has not come to collective"));
  EXPECT_THAT(job.output, HasSubstr("iteration 5: writing a checkpoint"));
  EXPECT_THAT(job.output, HasSubstr("all rounds done"));
}

// If the program was built with another MPI than the launcher's, each process believes that it is
// the only rank.
TEST(MismatchTest, RefusesALauncherThatStartedMoreRanksThanMpiSees) {
  const Outcome job =
      RunCommand("env PMI_RANK=0 PMI_SIZE=2 src/comm/mpi/failing_ranks never 0 RING");
  EXPECT_EQ(job.code, 1);
  EXPECT_THAT(job.output,
              ContainsRegex("mpiexec \\(PMI\\) started 2 ranks, but MPI in this program "
                            "\\([^)]+\\) has a world of 1"));
}

INSTANTIATE_TEST_SUITE_P(Algorithms, FailureTest, testing::Values("SHARED_MEMORY", "RING"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace finetune
