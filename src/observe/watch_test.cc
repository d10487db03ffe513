#include "src/observe/watch.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

constexpr double kNow = 1'800'000'000;

absl::Time At(double unix_s) { return absl::UnixEpoch() + absl::Seconds(unix_s); }

IterationRecord Training(int64_t iteration) {
  IterationRecord record;
  record.epoch = 2;
  record.iteration = iteration;
  record.iterations_per_epoch = 16;
  record.total_iterations = 64;
  record.loss = 1.5;
  record.lr = 0.05;
  record.time_s = 0.25;
  record.data_time_s = 0.05;
  record.images_per_s = 128;
  record.memory_mib = 512;
  record.eta_s = 3725;
  return record;
}

RunStatus Status() {
  RunStatus status;
  status.run.name = "flowers";
  status.run.host = "another-host";
  status.run.ranks = 2;
  status.run.began_unix_s = kNow - 3600;
  status.pid = 77;
  status.updated_unix_s = kNow - 3;
  status.training = Training(20);
  return status;
}

std::string ThisHost() {
  char name[256] = {};
  gethostname(name, sizeof(name) - 1);
  return name;
}

// Writes `status` and `records` to a work_dir and reads them as `finetune watch` does.
WatchedRun Read(const RunStatus& status, const std::string& records = "") {
  const std::string folder = EmptyTestFolder();
  EXPECT_TRUE(WriteFileAtomically(folder + "/status.json", ToJson(status)).ok());
  EXPECT_TRUE(WriteFileAtomically(folder + "/20260101_000000.jsonl", records).ok());
  absl::StatusOr<WatchedRun> run = ReadWatchedRun(folder, At(kNow));
  EXPECT_TRUE(run.ok()) << run.status();
  return run.ok() ? *std::move(run) : WatchedRun();
}

std::string Screen(const WatchedRun& run, int columns = 100, bool utf8 = true) {
  return absl::StrJoin(DescribeRun(run, At(kNow), {columns, utf8, absl::UTCTimeZone()}), "\n");
}

TEST(Watch, ShowsTheWholeRunOnOneScreen) {
  RunStatus status = Status();
  status.validation.emplace();
  status.validation->iteration = 16;
  status.validation->loss = 0.5;
  status.validation->accuracy = {{"top1", 0.875}};
  status.best = {"top1", 0.9, 8};
  status.checkpoint = {"epoch_1.pth", 16, kNow - 62};
  status.validation_done = 3;
  status.validation_total = 7;
  for (size_t i = 0; i < RunStatus::kMostWarnings; ++i) {
    status.warnings.push_back({kNow - 60, absl::StrCat("odd ", i)});
  }
  const WatchedRun run = Read(status);
  EXPECT_EQ(Screen(run),
            "flowers on another-host, 2 ranks, started 2027-01-15 07:00\n"
            "RUNNING, updated 0:00:03 ago\n"
            "\n"
            "progress    [=========                     ] 31 %  iteration 20 of 64, epoch 2 of 4\n"
            "eta         1:02:05\n"
            "loss        1.5000    \n"
            "lr          0.05\n"
            "speed       128.0 images/s, 0.250 s an iteration, 20.0 % of it for data\n"
            "memory      512 MiB\n"
            "validation  iteration 16: loss 0.5000  top1 87.50 %\n"
            "validating  batch 3 of 7\n"
            "best        top1 90.00 % at iteration 8\n"
            "checkpoint  epoch_1.pth of iteration 16, 0:01:02 ago\n"
            "warning     07:59:00 odd 0\n"
            "warning     07:59:00 odd 1\n"
            "warning     07:59:00 odd 2\n"
            "warning     07:59:00 odd 3\n"
            "warning     07:59:00 odd 4");
  EXPECT_THAT(DescribeRun(run, At(kNow), {}), SizeIs(testing::Le(23)));
}

TEST(Watch, ARunThatIsSilentForLongIsStale) {
  RunStatus status = Status();
  EXPECT_EQ(Read(status).health, WatchedRun::Health::kAlive);
  status.updated_unix_s = kNow - 600;
  const WatchedRun run = Read(status);
  EXPECT_EQ(run.health, WatchedRun::Health::kStale);
  EXPECT_THAT(Screen(run), HasSubstr("STALE: no update for 0:10:00; process 77 on another-host"));
}

TEST(Watch, ASlowIterationIsNotStale) {
  RunStatus status = Status();
  status.training->time_s = 100;
  status.updated_unix_s = kNow - 600;
  EXPECT_EQ(Read(status).health, WatchedRun::Health::kAlive);
}

TEST(Watch, AClockThatIsAheadIsNotAnAge) {
  RunStatus status = Status();
  status.updated_unix_s = kNow + 100;
  const WatchedRun run = Read(status);
  EXPECT_EQ(run.health, WatchedRun::Health::kAlive);
  EXPECT_THAT(Screen(run), HasSubstr("updated 0:00:00 ago"));
}

// A dead run with such a time would otherwise pass for alive until that time has come.
TEST(Watch, AnUpdateFarInTheFutureDoesNotSayThatTheRunIsAlive) {
  RunStatus status = Status();
  status.updated_unix_s = kNow + 600;
  const WatchedRun run = Read(status);
  EXPECT_EQ(run.health, WatchedRun::Health::kOtherClock);
  EXPECT_THAT(Screen(run), HasSubstr("UNKNOWN: the last update is 0:10:00 ahead of this host's "
                                     "clock; compare it with that of another-host"));
  status.updated_unix_s = 1e300;
  EXPECT_EQ(Read(status).health, WatchedRun::Health::kOtherClock);
}

TEST(Watch, ARunThatWasResumedAtItsEndHasDoneItsIterations) {
  RunStatus status = Status();
  status.training.reset();
  EXPECT_THAT(Screen(Read(status)), HasSubstr("no iteration yet"));
  status.run.iteration = 64;
  EXPECT_THAT(Screen(Read(status)), HasSubstr("resumed after iteration 64; no iteration since"));
  status.state = RunState::kDone;
  EXPECT_THAT(Screen(Read(status)),
              HasSubstr("resumed after iteration 64, where the run had ended already"));
}

// A process on another host cannot be seen. A run there is only stale, never gone.
TEST(Watch, ADeadProcessIsGoneOnItsOwnHostAlone) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  RunStatus status = Status();
  status.pid = child;
  EXPECT_EQ(Read(status).health, WatchedRun::Health::kAlive);
  status.run.host = ThisHost();
  const WatchedRun run = Read(status);
  EXPECT_EQ(run.health, WatchedRun::Health::kGone);
  EXPECT_THAT(Screen(run), HasSubstr(absl::StrCat("GONE: process ", child, " has ended")));
  status.pid = getpid();
  EXPECT_EQ(Read(status).health, WatchedRun::Health::kAlive);
  status.pid = child;
  status.state = RunState::kDone;
  EXPECT_EQ(Read(status).health, WatchedRun::Health::kEnded);
}

TEST(Watch, AnEndIsSaidWithItsReason) {
  RunStatus status = Status();
  status.state = RunState::kFailed;
  status.error = "the loss is nan in iteration 20";
  std::string screen = Screen(Read(status));
  EXPECT_THAT(screen, HasSubstr("FAILED, ended 0:00:03 ago\n"
                                "error       the loss is nan in iteration 20\n"));
  EXPECT_THAT(screen, Not(HasSubstr("eta")));
  status.state = RunState::kInterrupted;
  EXPECT_THAT(Screen(Read(status)),
              HasSubstr("INTERRUPTED, ended 0:00:03 ago; --resume=auto continues"));
  status.state = RunState::kDone;
  status.error = "";
  status.reason = "stopped early after iteration 20";
  EXPECT_THAT(Screen(Read(status)), HasSubstr("DONE, ended 0:00:03 ago\n"
                                              "reason      stopped early after iteration 20\n"));
}

TEST(Watch, TheBestLossIsNotAShare) {
  RunStatus status = Status();
  status.best = {"loss", 1.25, 8};
  EXPECT_THAT(Screen(Read(status)), HasSubstr("best        loss 1.2500 at iteration 8"));
}

TEST(Watch, DrawsTheLossesOfTheLastRecords) {
  std::string records = "{\"mode\":\"train\",\"itera";  // of a line before the tail's beginning
  int64_t iteration = 1;
  for (const double loss : std::vector<double>{4, 2, NAN, 1}) {
    IterationRecord record = Training(iteration++);
    record.loss = loss;
    absl::StrAppend(&records, "\n", ToJson(record));
  }
  const WatchedRun run = Read(Status(), records);
  EXPECT_THAT(run.losses, ElementsAre(4, 2, testing::IsNan(), 1));
  EXPECT_THAT(Screen(run), HasSubstr("loss        1.5000    █▃ ▁\n"));
  EXPECT_THAT(Screen(run, 100, /*utf8=*/false), HasSubstr("loss        1.5000    \n"));
}

TEST(Watch, LinesFitTheTerminalAndDoNotMoveItsCursor) {
  RunStatus status = Status();
  status.run.name = "flöwers";
  status.warnings = {{kNow, std::string(200, 'x')}, {kNow, "a\nb\x1b[2Jc"}};
  const std::vector<std::string> lines =
      DescribeRun(Read(status), At(kNow), {40, true, absl::UTCTimeZone()});
  EXPECT_EQ(lines.front(), "flöwers on another-host, 2 ranks, starte");
  EXPECT_EQ(lines[lines.size() - 2], "warning     08:00:00 xxxxxxxxxxxxxxxxxxx");
  EXPECT_EQ(lines.back(), "warning     08:00:00 a b [2Jc");
}

TEST(Watch, SaysWhichFileIsMissingOrIsNotAStatus) {
  const std::string folder = EmptyTestFolder();
  const absl::Status missing = ReadWatchedRun(folder, At(kNow)).status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_THAT(std::string(missing.message()),
              HasSubstr(folder + "/status.json: found no such file; expected the --work_dir of"));
  ASSERT_TRUE(WriteFileAtomically(folder + "/status.json", "[1, 2]").ok());
  const absl::Status other = ReadWatchedRun(folder, At(kNow)).status();
  EXPECT_THAT(std::string(other.message()),
              AllOf(HasSubstr(folder + "/status.json: "), HasSubstr("not a JSON object")));
}

TEST(Watch, ReadsNothingThatIsNotAFile) {
  const std::string folder = EmptyTestFolder();
  const std::string path = folder + "/status.json";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);  // opening it would wait for a writer
  EXPECT_EQ(ReadWatchedRun(folder, At(kNow)).status().message(),
            path + ": expected a file, found a pipe");
  ASSERT_EQ(unlink(path.c_str()), 0);
  ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
  EXPECT_EQ(ReadWatchedRun(folder, At(kNow)).status().message(),
            path + ": expected a file, found a folder");
  ASSERT_EQ(rmdir(path.c_str()), 0);
  // The curve of losses is only an extra.
  ASSERT_EQ(mkfifo((folder + "/20260101_000000.jsonl").c_str(), 0600), 0);
  ASSERT_TRUE(WriteFileAtomically(path, ToJson(Status())).ok());
  const absl::StatusOr<WatchedRun> run = ReadWatchedRun(folder, At(kNow));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_THAT(run->losses, testing::IsEmpty());
}

TEST(Watch, ReadsNoMoreOfAFileThanAStatusHas) {
  const std::string folder = EmptyTestFolder();
  ASSERT_TRUE(WriteFileAtomically(folder + "/status.json", "").ok());
  ASSERT_EQ(truncate((folder + "/status.json").c_str(), off_t{1} << 36), 0);  // a sparse file
  EXPECT_THAT(std::string(ReadWatchedRun(folder, At(kNow)).status().message()),
              HasSubstr("/status.json is larger than the 1048576 bytes expected of it"));
}

}  // namespace
}  // namespace finetune
