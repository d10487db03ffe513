#include "src/observe/run_log.h"

#include <pty.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/observe/contact_sheet.h"
#include "src/observe/first_batch.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

IterationRecord Iteration(int64_t iteration) {
  IterationRecord record;
  record.epoch = 2;
  record.iteration = iteration;
  record.iterations_per_epoch = 16;
  record.total_iterations = 64;
  record.loss = 1.5;
  record.lr = 0.05;
  record.time_s = 0.25;
  record.data_time_s = 0.001;
  record.images_per_s = 128;
  record.memory_mib = 512;
  record.eta_s = 3725;
  return record;
}

class RunLogTest : public testing::Test {
 protected:
  RunLogTest() {
    options_.work_dir = EmptyTestFolder();
    options_.host = "node7";
  }

  std::unique_ptr<RunLog> Open() {
    absl::StatusOr<std::unique_ptr<RunLog>> log = RunLog::Open(options_);
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }

  int Files(const std::string& part) const {
    int count = 0;
    for (const auto& entry : fs::directory_iterator(options_.work_dir)) {
      if (entry.path().filename().string().find(part) != std::string::npos) ++count;
    }
    return count;
  }

  RunLogOptions options_;
};

TEST_F(RunLogTest, RankZeroTellsTheConsoleTheLogAndTheRecords) {
  options_.tensorboard = true;
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> log = Open();
  log->Info("starting with {braces} and % signs");
  log->Iteration(Iteration(20));
  EvaluationRecord evaluation;
  evaluation.epoch = 2;
  evaluation.iteration = 32;
  evaluation.loss = 0.5;
  evaluation.accuracy = {{"top1", 0.875}};
  evaluation.images = 512;
  evaluation.seconds = 2;
  log->Evaluation(evaluation);
  evaluation.damaged = 3;
  evaluation.averaged_weights = true;
  log->Evaluation(evaluation);
  ASSERT_TRUE(log->Close().ok());
  const std::string console = testing::internal::GetCapturedStdout();
  const std::string text = *ReadFile(log->stem() + ".log");
  for (const std::string& told : {console, text}) {
    EXPECT_THAT(told, HasSubstr("info    starting with {braces} and % signs\n"));
    EXPECT_THAT(told, HasSubstr("epoch 2 [4/16]   lr 0.05       loss 1.5000  time 0.250 s  data "
                                "0.0010 s    128.0 images/s  memory 512 MiB  eta 1:02:05\n"));
    EXPECT_THAT(told, HasSubstr("validation after epoch 2, iteration 32: loss 0.5000  top1 87.50 "
                                "%  (512 images in 2.0 s)\n"));
    EXPECT_THAT(told, HasSubstr("(512 images and 3 damaged, left out, in 2.0 s, averaged "
                                "weights)\n"));
  }
  const absl::StatusOr<History> history = ReadHistory(options_.work_dir);
  ASSERT_TRUE(history.ok()) << history.status();
  ASSERT_THAT(history->iterations, testing::SizeIs(1));
  EXPECT_EQ(history->iterations[0].iteration, 20);
  ASSERT_THAT(history->evaluations, testing::SizeIs(2));
  EXPECT_EQ(history->evaluations[0].accuracy.at("top1"), 0.875);
  EXPECT_EQ(Files("tfevents"), 1);
}

ContactSheet OneGreyImage() {
  return {2, 2, 1, "one image", {{std::vector<uint8_t>(4, 9), "0: cat"}}};
}

TEST_F(RunLogTest, WritesTheFirstBatchToTheWorkDirAndTheEvents) {
  options_.tensorboard = true;
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> log = Open();
  log->ShowFirstBatch(OneGreyImage(), 5);
  ASSERT_TRUE(log->Close().ok());
  testing::internal::GetCapturedStdout();
  const absl::StatusOr<FirstBatch> batch = ReadFirstBatch(options_.work_dir);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->iteration, 5);
  ASSERT_THAT(batch->images, testing::SizeIs(1));
  EXPECT_EQ(batch->images[0].caption, "0: cat");
  for (const auto& entry : fs::directory_iterator(options_.work_dir)) {
    if (entry.path().string().find("tfevents") == std::string::npos) continue;
    EXPECT_THAT(*ReadFile(entry.path()), HasSubstr("train/first_batch"));
  }
}

TEST_F(RunLogTest, OtherRanksWriteNoFirstBatch) {
  options_.rank = 1;
  const std::unique_ptr<RunLog> log = Open();
  log->ShowFirstBatch(OneGreyImage(), 5);
  ASSERT_TRUE(log->Close().ok());
  EXPECT_EQ(Files("first_batch"), 0);
}

// A folder in the file's place imitates a file system that refuses the file.
TEST_F(RunLogTest, ARunGoesOnWithoutTheFirstBatchsFile) {
  fs::create_directories(options_.work_dir + "/first_batch.json/folder");
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const std::unique_ptr<RunLog> log = Open();
  log->ShowFirstBatch(OneGreyImage(), 5);
  EXPECT_FALSE(log->Close().ok());
  testing::internal::GetCapturedStdout();
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::ContainsRegex("warning: .*first_batch.json.*; the run goes on"));
}

TEST_F(RunLogTest, ColumnsStayInPlaceThroughARun) {
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> log = Open();
  for (const int64_t iteration : {1, 16, 3000}) {
    IterationRecord record = Iteration(iteration);
    record.epoch = (iteration - 1) / 16 + 1;
    record.total_iterations = 3200;
    record.lr = 0.1 / static_cast<double>(iteration);
    record.images_per_s = 7 * static_cast<double>(iteration);
    log->Iteration(record);
  }
  const std::vector<std::string> lines =
      absl::StrSplit(testing::internal::GetCapturedStdout(), '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], HasSubstr("epoch 1 [1/16]     lr 0.1        loss"));
  EXPECT_THAT(lines[2], HasSubstr("epoch 188 [8/16]   lr 3.333e-05  loss"));
  for (const char* word : {"lr", "loss", "images/s", "eta"}) {
    EXPECT_EQ(lines[1].find(word), lines[0].find(word)) << lines[1];
    EXPECT_EQ(lines[2].find(word), lines[0].find(word)) << lines[2];
  }
}

TEST_F(RunLogTest, AValidationWithinAnEpochIsSaidToBeInIt) {
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> log = Open();
  EvaluationRecord evaluation;
  evaluation.epoch = 1;
  evaluation.iterations_per_epoch = 5;
  for (const int64_t iteration : {2, 5}) {
    evaluation.iteration = iteration;
    log->Evaluation(evaluation);
  }
  const std::string told = testing::internal::GetCapturedStdout();
  EXPECT_THAT(told, HasSubstr("validation in epoch 1, iteration 2: loss"));
  EXPECT_THAT(told, HasSubstr("validation after epoch 1, iteration 5: loss"));
}

TEST_F(RunLogTest, DrawsNoProgressWhereNobodyWatches) {
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> log = Open();
  log->Progress(Iteration(20));
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST_F(RunLogTest, AQuietConsoleShowsWarningsAloneAndTheFilesHaveAll) {
  options_.verbosity = Verbosity::kQuiet;
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> log = Open();
  log->Info("starting");
  log->Iteration(Iteration(20));
  log->Warning("odd");
  const std::string console = testing::internal::GetCapturedStdout();
  EXPECT_THAT(console, testing::EndsWith("warning odd\n"));
  EXPECT_THAT(console, Not(HasSubstr("starting")));
  EXPECT_THAT(console, Not(HasSubstr("loss")));
  const std::string text = *ReadFile(log->stem() + ".log");
  EXPECT_THAT(text, HasSubstr("info    starting\n"));
  EXPECT_THAT(text, HasSubstr("epoch 2 [4/16]"));
}

TEST_F(RunLogTest, AVerboseConsoleShowsEveryIterationAndTheRecordsStay) {
  options_.verbosity = Verbosity::kVerbose;
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> log = Open();
  log->Progress(Iteration(19));
  log->Iteration(Iteration(20));
  const std::string console = testing::internal::GetCapturedStdout();
  EXPECT_THAT(console, HasSubstr("epoch 2 [3/16]"));
  EXPECT_THAT(console, HasSubstr("epoch 2 [4/16]"));
  EXPECT_THAT(ReadHistory(options_.work_dir)->iterations, testing::SizeIs(1));
}

TEST_F(RunLogTest, OtherRanksSayOnlyWhatIsWrongAndWhoTheyAre) {
  options_.rank = 3;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const std::unique_ptr<RunLog> log = Open();
  log->Info("nothing");
  log->Iteration(Iteration(1));
  log->Warning("odd");
  log->Error("bad");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_THAT(told, HasSubstr("warning [rank 3 node7] odd\n"));
  EXPECT_THAT(told, HasSubstr("error   [rank 3 node7] bad\n"));
  EXPECT_THAT(told, Not(HasSubstr("nothing")));
  EXPECT_TRUE(fs::is_empty(options_.work_dir));
}

// The error that ends the run goes only to the file, because the program prints it on the console
// itself.
TEST_F(RunLogTest, LogsTheFinalErrorOnlyToTheFile) {
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> log = Open();
  log->Error("it is over");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_THAT(*ReadFile(log->stem() + ".log"), HasSubstr("error   it is over\n"));
}

TEST_F(RunLogTest, TheStatusFollowsTheRun) {
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> log = Open();
  log->Warning("odd");
  // Before Run() no status is written: a run that is refused must not replace an older run's
  // status.
  EXPECT_TRUE(absl::IsNotFound(ReadRunStatus(options_.work_dir).status()));
  RunRecord run;
  run.name = "flowers";
  run.host = "node7";
  run.class_names = {"rose", "tulip"};
  log->Run(run);
  absl::StatusOr<RunStatus> status = ReadRunStatus(options_.work_dir);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->state, RunState::kRunning);
  EXPECT_EQ(status->run.name, "flowers");
  EXPECT_THAT(status->run.class_names, testing::IsEmpty());
  EXPECT_EQ(status->pid, getpid());
  ASSERT_THAT(status->warnings, testing::SizeIs(1));
  EXPECT_EQ(status->warnings[0].text, "odd");

  log->Iteration(Iteration(20));
  EvaluationRecord evaluation;
  evaluation.iteration = 16;
  evaluation.accuracy = {{"top1", 0.875}};
  evaluation.classes = {{2, 2, 1}, {2, 2, 1}};
  log->Evaluation(evaluation);
  log->Best({"top1", 0.875, 16});
  ASSERT_TRUE(WriteFileAtomically(options_.work_dir + "/epoch_1.pth", "").ok());
  log->Saved("epoch_1.pth", 16);
  status = ReadRunStatus(options_.work_dir);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->training->iteration, 20);
  EXPECT_EQ(status->training->total_iterations, 64);
  EXPECT_THAT(status->validation->classes, testing::IsEmpty());
  EXPECT_EQ(status->best->value, 0.875);
  EXPECT_EQ(status->checkpoint->file, "epoch_1.pth");
  EXPECT_GT(status->checkpoint->saved_unix_s, 1.7e9);
  EXPECT_THAT(*ReadFile(options_.work_dir + "/metrics.prom"), HasSubstr("finetune_iteration{"));

  log->End(RunState::kInterrupted);
  testing::internal::GetCapturedStdout();
  EXPECT_EQ(ReadRunStatus(options_.work_dir)->state, RunState::kInterrupted);
}

TEST_F(RunLogTest, TheStatusOfAFailedRunHasItsError) {
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> log = Open();
  log->Run(RunRecord());
  for (int i = 0; i < 7; ++i) log->Warning(absl::StrCat("odd ", i));
  log->Error("it is over");
  testing::internal::GetCapturedStdout();
  const absl::StatusOr<RunStatus> status = ReadRunStatus(options_.work_dir);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->state, RunState::kFailed);
  EXPECT_EQ(status->error, "it is over");
  ASSERT_THAT(status->warnings, testing::SizeIs(RunStatus::kMostWarnings));
  EXPECT_EQ(status->warnings.back().text, "odd 6");
}

// Returns the bytes that a warning prints on a terminal. `no_color`: the value of NO_COLOR; null if
// it is not set.
std::string WarningOnATerminal(const RunLogOptions& options, const char* no_color) {
  int terminal = -1, mine = -1;
  EXPECT_EQ(openpty(&mine, &terminal, nullptr, nullptr, nullptr), 0);
  setenv("TERM", "xterm", 1);
  if (no_color == nullptr) {
    unsetenv("NO_COLOR");
  } else {
    setenv("NO_COLOR", no_color, 1);
  }
  std::fflush(stdout);
  const int before = dup(STDOUT_FILENO);
  dup2(terminal, STDOUT_FILENO);
  (*RunLog::Open(options))->Warning("odd");
  std::fflush(stdout);
  dup2(before, STDOUT_FILENO);
  close(before);
  close(terminal);
  std::string text;
  char chunk[256];
  // Once all writers have closed the terminal, read() returns an error instead of 0.
  for (ssize_t n = 0; (n = read(mine, chunk, sizeof(chunk))) > 0;) text.append(chunk, n);
  close(mine);
  return text;
}

TEST_F(RunLogTest, ColorsAreForTerminalsWithoutNoColor) {
  for (const char* color : {static_cast<const char*>(nullptr), ""}) {
    EXPECT_THAT(WarningOnATerminal(options_, color), HasSubstr("\x1b["));
  }
  const std::string plain = WarningOnATerminal(options_, "1");
  EXPECT_THAT(plain, HasSubstr("warning odd"));
  EXPECT_THAT(plain, Not(HasSubstr("\x1b[")));
  unsetenv("NO_COLOR");
  testing::internal::CaptureStdout();
  Open()->Warning("odd");
  EXPECT_THAT(testing::internal::GetCapturedStdout(), Not(HasSubstr("\x1b[")));
}

TEST_F(RunLogTest, TwoRunsOfOneSecondKeepTheirOwnFiles) {
  options_.tensorboard = false;
  testing::internal::CaptureStdout();
  const std::unique_ptr<RunLog> first = Open();
  const std::unique_ptr<RunLog> second = Open();
  const std::unique_ptr<RunLog> third = Open();
  testing::internal::GetCapturedStdout();
  EXPECT_EQ(Files(".log"), 3);
  EXPECT_EQ(Files(".jsonl"), 3);
  EXPECT_EQ(Files("tfevents"), 0);
}

TEST_F(RunLogTest, AFolderThatIsNotThereIsAnError) {
  options_.work_dir = "/no/such/folder";
  const absl::Status status = RunLog::Open(options_).status();
  EXPECT_THAT(
      std::string(status.message()),
      testing::MatchesRegex("cannot write /no/such/folder/.*\\.log: No such file or directory"));
}

// A limit on the size of files (RLIMIT_FSIZE) imitates a full disk: writes beyond it fail.
TEST_F(RunLogTest, AFullDiskIsToldOnceAndTheRunGoesOnWithWholeRecords) {
  options_.tensorboard = false;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const std::unique_ptr<RunLog> log = Open();
  // This long record makes the .jsonl file long, and so the limit below high. Stderr is captured in
  // a file too, which must stay below the limit.
  RunRecord run;
  run.name = std::string(2000, 'x');
  log->Run(run);
  log->Iteration(Iteration(1));

  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  struct rlimit full = before;
  // Only a part of the next record fits below the limit.
  full.rlim_cur = fs::file_size(log->stem() + ".jsonl") + 10;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  log->Iteration(Iteration(2));
  log->Iteration(Iteration(3));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);

  log->Iteration(Iteration(4));
  const absl::Status closed = log->Close();
  testing::internal::GetCapturedStdout();
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_EQ(closed.code(), absl::StatusCode::kResourceExhausted) << closed;
  EXPECT_THAT(told, HasSubstr("warning: cannot write " + options_.work_dir));
  EXPECT_EQ(told.find("warning"), told.rfind("warning")) << told;
  const std::string json = *ReadFile(log->stem() + ".jsonl");
  EXPECT_EQ(json, ToJson(run) + "\n" + ToJson(Iteration(1)) + "\n" + ToJson(Iteration(4)) + "\n");
}

TEST(FormatDuration, IsReadable) {
  EXPECT_EQ(FormatDuration(3723.4), "1:02:03");
  EXPECT_EQ(FormatDuration(59.6), "0:01:00");
  EXPECT_EQ(FormatDuration(-1), "0:00:00");
  EXPECT_EQ(FormatDuration(std::numeric_limits<double>::infinity()), "?");
}

}  // namespace
}  // namespace finetune
