// Tests the commands that run without MPI, and the flags --quiet and --verbose, as a user types
// them.

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/observe/run_status.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class CommandsTest : public TrainingTest {
 protected:
  // Runs `finetune COMMAND --config=... FLAGS`.
  Outcome Command(const std::string& command, const std::string& flags = "") {
    return Run(absl::StrCat(finetune_, " ", command, " --config=", config(), " ", flags));
  }
};

TEST_F(CommandsTest, ChecksAConfigBeforeItsJobIsQueued) {
  WriteResNet();
  const Outcome fine = Command("config", "--check --ranks=2");
  EXPECT_EQ(fine.exit_code, 0) << fine.output;
  EXPECT_THAT(fine.output, HasSubstr("2 ranks of "));
  EXPECT_THAT(fine.output, HasSubstr("a rank needs "));
  EXPECT_THAT(fine.output, EndsWith(config() + ": is fine\n"));
  EXPECT_FALSE(fs::exists("work_dirs"));

  // The ranks of a host are compared with its memory.
  const Outcome small = Command("config", "--check --ranks=8 --ranks_per_host=4 --host_memory=2M");
  EXPECT_EQ(small.exit_code, 2) << small.output;
  EXPECT_THAT(small.output, AllOf(HasSubstr(config() + ":"), HasSubstr("4 ranks on a host"),
                                  HasSubstr("a host by --host_memory has 2 MiB")));

  // Each error that needs the data or the weights is reported with its place.
  const Outcome classes = Command("config", "--check --set=model.head.num_classes=7");
  EXPECT_EQ(classes.exit_code, 2) << classes.output;
  EXPECT_THAT(classes.output,
              HasSubstr("--set=model.head.num_classes=7: model.head.num_classes: is 7; "));
  const Outcome weights =
      Command("config", "--check --set=model.backbone.pretrained.checkpoint=nowhere.pth");
  EXPECT_EQ(weights.exit_code, 2) << weights.output;
  EXPECT_THAT(weights.output, HasSubstr("nowhere.pth"));
  // A run reports the same error.
  const Outcome run = Run(Mpirun(1, "run", "--set=model.head.num_classes=7"));
  EXPECT_THAT(run.output, StartsWith(classes.output));

  // There are more ranks than images in a batch.
  const Outcome many = Command("config", "--check --ranks=17");
  EXPECT_EQ(many.exit_code, 2) << many.output;
  EXPECT_THAT(many.output, HasSubstr("data.train.total_batch_size: is 16 and there are 17 ranks"));
}

TEST_F(CommandsTest, NamesWhatDiffersBetweenTwoConfigs) {
  WriteResNet();
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/other.pbtxt",
                                  "import: \"small.pbtxt\"\noptimizer { sgd { lr: 0.5 } }\n")
                  .ok());
  const Outcome diff =
      Run(absl::StrCat(finetune_, " diff ", config(), " ", folder_, "/other.pbtxt"));
  EXPECT_EQ(diff.exit_code, 0) << diff.output;
  EXPECT_EQ(diff.output,
            absl::StrCat("- ", config(), "\n+ ", folder_, "/other.pbtxt\n\noptimizer.sgd.lr\n",
                         "  - 0.05  # ", config(), ":11:19\n  + 0.5   # ", folder_,
                         "/other.pbtxt:2:19\n"));
  const Outcome same = Run(absl::StrCat(finetune_, " diff ", config(), " ", config()));
  EXPECT_EQ(same.output, "no field differs\n");
}

TEST_F(CommandsTest, ExplainsFieldsWithoutTheSourceTree) {
  const Outcome sgd = Run(absl::StrCat("env -C / ", finetune_, " --help=optimizer.sgd"));
  EXPECT_EQ(sgd.exit_code, 0) << sgd.output;
  EXPECT_THAT(sgd.output,
              AllOf(HasSubstr("PyTorch's SGD"), HasSubstr("momentum: number (default 0)")));
  const Outcome typo = Run(absl::StrCat(finetune_, " help optimizer.sdg"));
  EXPECT_EQ(typo.exit_code, 2);
  EXPECT_EQ(typo.output, "optimizer.sdg: no such field in OptimizerConfig; did you mean sgd?\n");
}

TEST_F(CommandsTest, SummarizesTheModel) {
  WriteResNet("frozen_stages: 1");
  const Outcome summary = Command("summary", "--memory=false");
  EXPECT_EQ(summary.exit_code, 0) << summary.output;
  EXPECT_THAT(summary.output, HasSubstr("one image of 3x32x32\n"));
  EXPECT_THAT(summary.output, testing::ContainsRegex("backbone.layer1 +4x32x32 .* frozen\n"));
  EXPECT_THAT(summary.output, testing::ContainsRegex("backbone.layer2 +8x16x16 .* trained\n"));
}

TEST_F(CommandsTest, ARunIsQuietOrVerboseWhereItIsAskedTo) {
  WriteResNet();
  const std::string few = "--set=runtime.log_interval=5 --max_iterations=5 ";
  const Outcome quiet = Run(Mpirun(2, "quiet", few + "--quiet"));
  EXPECT_EQ(quiet.exit_code, 0) << quiet.output;
  EXPECT_EQ(quiet.output, "");
  EXPECT_THAT(Logs("quiet"), HasSubstr("epoch 1 [5/5]"));

  const Outcome usual = Run(Mpirun(2, "usual", few));
  EXPECT_THAT(usual.output, AllOf(HasSubstr("epoch 1 [5/5]"), Not(HasSubstr("epoch 1 [2/5]"))));
  const Outcome verbose = Run(Mpirun(2, "verbose", few + "--verbose"));
  EXPECT_THAT(verbose.output, AllOf(HasSubstr("epoch 1 [2/5]"), HasSubstr("epoch 1 [5/5]")));
  // The flags do not change the records of the run.
  EXPECT_THAT(Losses("verbose"), SizeIs(1));
  EXPECT_EQ(Losses("verbose"), Losses("usual"));

  const Outcome both = Run(Mpirun(1, "both", "--quiet --verbose"));
  EXPECT_EQ(both.exit_code, 2) << both.output;
}

TEST_F(CommandsTest, WatchesARunFromOutsideToItsEnd) {
  WriteResNet();
  const auto watch = [&](const std::string& work_dir) {
    return Run(absl::StrCat(finetune_, " watch ", folder_, "/", work_dir, " --once"));
  };
  TrainToEnd(2, "done", "--max_iterations=5");
  const Outcome done = watch("done");
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_THAT(done.output, AllOf(HasSubstr(", 2 ranks, started "), HasSubstr("\nDONE, ended "),
                                 HasSubstr("] 100 %  iteration 5 of 5, epoch 1 of 1\n"),
                                 HasSubstr("\ncheckpoint  epoch_1.pth of iteration 5, ")));
  // The best accuracy is the one in the run's records.
  const std::string best =
      absl::StrFormat("\nbest        top1 %.2f %% at iteration 5\n",
                      100 * Records("done").back()["accuracy"]["top1"].get<double>());
  EXPECT_THAT(done.output, HasSubstr(best));

  Run(Mpirun(2, "failed", "--set=optimizer.sgd.lr=1e30"));
  const Outcome failed = watch("failed");
  EXPECT_EQ(failed.exit_code, 1) << failed.output;
  EXPECT_THAT(failed.output, AllOf(HasSubstr("\nFAILED, ended "), HasSubstr("has diverged")));

  Job job(Mpirun(1, "stopped", "--set=schedule.max_epochs=100000"), folder_ + "/stopped.txt");
  ASSERT_TRUE(job.WaitFor("epoch 1 [2/5]"));
  // This calls system(), because a second Job would also wait for the processes of the first one.
  const std::string once =
      absl::StrCat(finetune_, " watch ", folder_, "/stopped > ", folder_, "/running.txt");
  EXPECT_EQ(std::system(once.c_str()), 0);
  EXPECT_THAT(*ReadFile(folder_ + "/running.txt"), HasSubstr("\nRUNNING, updated "));
  ASSERT_EQ(kill(job.pid(), SIGUSR1), 0);
  EXPECT_EQ(job.Wait().exit_code, 75);
  const Outcome stopped = watch("stopped");
  EXPECT_EQ(stopped.exit_code, 75) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("\nINTERRUPTED, ended "));

  const Outcome none = watch("nowhere");
  EXPECT_EQ(none.exit_code, 2) << none.output;
  EXPECT_THAT(none.output, HasSubstr("/nowhere/status.json: found no such file"));
}

// A resumed run's status has the best validation and the last checkpoint from its start on.
TEST_F(CommandsTest, AResumedRunShowsTheBestAndTheCheckpointItComesFrom) {
  WriteResNet();
  TrainToEnd(1, "run", "--max_iterations=10");
  const absl::StatusOr<RunStatus> before = ReadRunStatus(folder_ + "/run");
  ASSERT_TRUE(before.ok() && before->best.has_value()) << before.status();
  // The run has reached its last iteration already, so it trains nothing.
  TrainToEnd(1, "run", "--max_iterations=10 --resume=auto");
  const absl::StatusOr<RunStatus> after = ReadRunStatus(folder_ + "/run");
  ASSERT_TRUE(after.ok()) << after.status();
  ASSERT_TRUE(after->best.has_value() && after->checkpoint.has_value());
  EXPECT_EQ(after->state, RunState::kDone);
  EXPECT_EQ(after->best->metric, before->best->metric);
  EXPECT_EQ(after->best->value, before->best->value);
  EXPECT_EQ(after->best->iteration, before->best->iteration);
  EXPECT_EQ(after->checkpoint->file, "epoch_2.pth");
  EXPECT_EQ(after->checkpoint->iteration, 10);
  EXPECT_THAT(Run(absl::StrCat(finetune_, " watch ", folder_, "/run")).output,
              HasSubstr("resumed after iteration 10, where the run had ended already\n"));
}

// The code 1 would say that the run has failed.
TEST_F(CommandsTest, WatchHasExitCode2WhereItCannotTell) {
  const std::string status = folder_ + "/status.json";
  const std::string watch = absl::StrCat(finetune_, " watch ", folder_);
  const auto expect = [&](const std::string& command, const std::string& error) {
    const Outcome outcome = Run(absl::StrCat("bash -c '", command, "'"));
    EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(error));
  };
  fs::create_directory(status);
  expect(watch, status + ": expected a file, found a folder");
  fs::remove(status);
  expect(absl::StrCat("mkfifo ", status, " && ", watch),
         status + ": expected a file, found a pipe");
  fs::remove(status);
  ASSERT_TRUE(WriteFileAtomically(status, "").ok());
  expect(watch, status + ": found text that is not a JSON object");
  ASSERT_TRUE(WriteFileAtomically(status, ToJson(RunStatus())).ok());
  expect(watch + " > /dev/full", "cannot write to standard output: No space left on device");
}

TEST_F(CommandsTest, AResultThatCannotBePrintedIsAFailure) {
  WriteResNet();
  TrainToEnd(1, "run", "--max_iterations=5");
  for (const std::string& command :
       {absl::StrCat("evaluate --checkpoint=", folder_, "/run/latest.pth"),
        absl::StrCat("config --config=", config()), std::string("help")}) {
    const Outcome full = Run(absl::StrCat("bash -c '", finetune_, " ", command, " > /dev/full'"));
    EXPECT_EQ(full.exit_code, 1) << command;
    EXPECT_THAT(full.output, HasSubstr("cannot write to standard output: No space left on device"));
  }
}

// A folder in the place of an output is found before the work, not when it is renamed at the end.
TEST_F(CommandsTest, AFolderIsNotReplacedByAnOutput) {
  WriteResNet();
  fs::create_directory(folder_ + "/out");
  const Outcome run = Run(Mpirun(1, "run", absl::StrCat("--trace=", folder_, "/out")));
  EXPECT_EQ(run.exit_code, 2) << run.output;
  EXPECT_THAT(run.output,
              HasSubstr("--trace: " + folder_ + "/out: found a folder; expected a file"));
  EXPECT_FALSE(fs::exists(folder_ + "/run/epoch_1.pth"));
}

// A typing error must not cost a user a photo or a checkpoint.
TEST_F(CommandsTest, AFileThatIsThereIsNotReplacedByAnOutput) {
  WriteResNet();
  TrainToEnd(1, "run", "--max_iterations=5");
  const std::string checkpoint = absl::StrCat(" --checkpoint=", folder_, "/run/latest.pth");
  const std::string config_flag = absl::StrCat(" --config=", config());
  for (const std::string command :
       {"evaluate --output=" + folder_ + "/a.json" + checkpoint,
        "evaluate --scores=" + folder_ + "/a.csv" + checkpoint,
        "predict --out=" + folder_ + "/a.csv " + folder_ + checkpoint,
        "predict --features=backbone --features_out=" + folder_ + "/a.npy " + folder_ + checkpoint,
        "export --to=" + folder_ + "/a.pth" + checkpoint,
        "lr --output=" + folder_ + "/a.svg" + config_flag,
        "plan --save_profile=" + folder_ + "/a.json" + config_flag,
        "browse --out=" + folder_ + "/a.png" + config_flag,
        "browse --out=" + folder_ + "/a.html" + config_flag,
        "train --work_dir=" + folder_ + "/other --trace=" + folder_ + "/a.json" + config_flag}) {
    for (const char* ending : {"json", "csv", "npy", "pth", "svg", "png", "html"}) {
      ASSERT_TRUE(WriteFileAtomically(absl::StrCat(folder_, "/a.", ending), "mine").ok());
    }
    const Outcome refused = Run(absl::StrCat(finetune_, " ", command));
    EXPECT_EQ(refused.exit_code, 2) << command << ": " << refused.output;
    EXPECT_THAT(refused.output, HasSubstr(folder_ + "/a."));
    for (const char* ending : {"json", "csv", "npy", "pth", "svg", "png", "html"}) {
      EXPECT_EQ(*ReadFile(absl::StrCat(folder_, "/a.", ending)), "mine") << command;
    }
  }
  const Outcome replaced =
      Run(absl::StrCat(finetune_, " evaluate --force --output=", folder_, "/a.json", checkpoint));
  EXPECT_EQ(replaced.exit_code, 0) << replaced.output;
  EXPECT_NE(*ReadFile(folder_ + "/a.json"), "mine");
  // --force does not reach the checkpoint that the command reads.
  const Outcome itself = Run(absl::StrCat(finetune_, " evaluate --force --output=", folder_,
                                          "/run/latest.pth", checkpoint));
  EXPECT_EQ(itself.exit_code, 2) << itself.output;
  EXPECT_THAT(itself.output, HasSubstr("which this command reads"));
}

TEST_F(CommandsTest, ATerminalIsRedrawnUntilTheRunEnds) {
  RunStatus status;
  status.run.name = "flowers";
  status.updated_unix_s = static_cast<double>(absl::ToUnixSeconds(absl::Now()));
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/status.json", ToJson(status)).ok());
  Job job(absl::StrCat("script -qec '", finetune_, " watch ", folder_, "' /dev/null"),
          folder_ + "/terminal.txt");
  ASSERT_TRUE(job.WaitFor("RUNNING"));
  status.state = RunState::kDone;
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/status.json", ToJson(status)).ok());
  const Outcome watched = job.Wait();
  EXPECT_EQ(watched.exit_code, 0) << watched.output;
  // Before the second screen the cursor goes back to the first line of the first one.
  EXPECT_THAT(watched.output, HasSubstr("A\r\x1b[Jflowers on "));
  EXPECT_THAT(watched.output, HasSubstr("DONE, ended "));
}

// An empty file, a text, a folder, and a path that does not exist are one kind of mistake,
// whichever file they take the place of.
TEST_F(CommandsTest, APathThatDoesNotLeadToTheFileExpectedHasExitCode2) {
  WriteResNet();
  TrainToEnd(1, "run", "--max_iterations=5");
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/empty", "").ok());
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/text", "cats and dogs\n").ok());
  fs::create_directory(folder_ + "/folder");
  const std::string own = absl::StrCat(" --checkpoint=", folder_, "/run/latest.pth ");
  const std::string from = absl::StrCat(" --config=", config(), " ");
  const std::vector<std::string> commands = {
      finetune_ + " evaluate --checkpoint=",
      finetune_ + " evaluate" + own + "--compare=",
      finetune_ + " predict " + folder_ + " --checkpoint=",
      finetune_ + " export --to=" + folder_ + "/x.onnx --checkpoint=",
      finetune_ + " train" + from + "--work_dir=" + folder_ + "/other --resume=",
      finetune_ + " config" + from + "--check --set=model.backbone.pretrained.checkpoint=",
      finetune_ + " config" + from + "--check --set=data.train.path=",
      finetune_ + " plan" + from + "--profile=",
      finetune_ + " config --config=",
      finetune_ + " report ",
      finetune_ + " watch ",
      prepare_ + " info ",
      prepare_ + " verify ",
      prepare_ + " cifar10 --output=" + folder_ + "/x --input=",
      prepare_ + " mnist --output=" + folder_ + "/x --input=",
      prepare_ + " image_folder --output=" + folder_ + "/x --input=",
  };
  // A text is a list of images; that these are missing is told for each.
  const std::vector<std::string> lists = {
      finetune_ + " predict" + own + "--list=",
      prepare_ + " image_list --output=" + folder_ + "/x --input=",
  };
  const auto expect = [&](const std::string& command, const std::string& kind) {
    const Outcome outcome = Run(absl::StrCat(command, folder_, "/", kind));
    EXPECT_EQ(outcome.exit_code, 2) << command << kind << ": " << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr(absl::StrCat(folder_, "/", kind)));
  };
  for (const std::string kind : {"empty", "text", "folder", "nothing"}) {
    for (const std::string& command : commands) expect(command, kind);
    if (kind == "text") continue;
    for (const std::string& command : lists) expect(command, kind);
  }
}

// A file of the right kind that is damaged is another mistake than a wrong path.
TEST_F(CommandsTest, ADamagedCheckpointHasExitCode1) {
  WriteResNet();
  TrainToEnd(1, "run", "--max_iterations=5");
  const std::string whole = *ReadFile(folder_ + "/run/latest.pth");
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/cut.pth", whole.substr(0, whole.size() / 2)).ok());
  for (const std::string command :
       {std::string(" evaluate"), " predict " + folder_, " export --to=" + folder_ + "/x.onnx"}) {
    const Outcome cut =
        Run(absl::StrCat(finetune_, command, " --checkpoint=", folder_, "/cut.pth"));
    EXPECT_EQ(cut.exit_code, 1) << command << ": " << cut.output;
  }
}

// Every error is one or two sentences that name a flag, a file or a field.
TEST_F(CommandsTest, ErrorsOfEveryCommandHaveExitCode2) {
  for (const std::string command :
       {"train", "evaluate", "predict", "export", "config", "lr", "batch", "plan", "summary",
        "diff", "report", "watch", "browse", "completion"}) {
    const Outcome none = Run(absl::StrCat(finetune_, " ", command));
    EXPECT_EQ(none.exit_code, 2) << command << ": " << none.output;
    EXPECT_THAT(std::vector<std::string>(absl::StrSplit(none.output, '\n')), SizeIs(2))
        << none.output;
  }
  for (const std::string command :
       {"train", "config", "lr", "batch", "plan", "summary", "browse"}) {
    const Outcome missing = Run(absl::StrCat(finetune_, " ", command, " --config=nowhere.pbtxt"));
    EXPECT_EQ(missing.exit_code, 2) << command << ": " << missing.output;
    EXPECT_THAT(missing.output, HasSubstr("nowhere.pbtxt"));
  }
}

}  // namespace
}  // namespace finetune
