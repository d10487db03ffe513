// Runs the program prepare_dataset as a user does.

#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/base/version.h"
#include "src/data/decode/test_images.h"
#include "tests/job.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class PrepareDatasetTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = EmptyTestFolder();
    fs::create_directory(folder_ + "/out");
    data_ = folder_ + "/out/data";
    program_ = fs::absolute("data_tools/prepare_dataset").string();
  }

  // Returns a new path for the text that the next command prints.
  std::string NextOutput() { return absl::StrCat(folder_, "/output", ++runs_); }

  // Runs a shell command. In the returned output the test's folder is replaced by DIR.
  Outcome Shell(const std::string& command) {
    Outcome outcome = Job(command, NextOutput()).Wait();
    outcome.output = absl::StrReplaceAll(outcome.output, {{folder_, "DIR"}});
    return outcome;
  }
  Outcome Run(const std::string& arguments) {
    return Shell(absl::StrCat(program_, " ", arguments));
  }

  std::string Synthetic(const std::string& more = "") const {
    return absl::StrCat(
        "synthetic --classes=3 --train=12 --test=5 --size=8 --shards=3 --output=", data_, more);
  }

  // Returns the names of the files and folders beside the data set, and its own.
  std::vector<std::string> Left() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_ + "/out")) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string folder_, data_, program_;
  int runs_ = 0;
};

TEST_F(PrepareDatasetTest, SaysItsVersion) {
  const Outcome version = Run("--version");
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.output, absl::StrCat("prepare_dataset ", kFinetuneVersion, "\n"));
}

TEST_F(PrepareDatasetTest, ManualPageNamesEveryCommandAndFlagOfTheHelp) {
  const std::string page = folder_ + "/man/prepare_dataset.1";
  const Outcome written = Run(absl::StrCat("--man=", folder_, "/man"));
  EXPECT_EQ(written.exit_code, 0) << written.output;
  EXPECT_EQ(written.output, "DIR/man/prepare_dataset.1\n");
  const std::string text = *ReadFile(page);
  for (const std::string command : {"cifar10", "cifar100", "mnist", "image_folder", "image_list",
                                    "synthetic", "verify", "info"}) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("\n.SS ", command, "\n")));
    const std::string help = Run(command + " --help").output;
    for (const absl::string_view word : absl::StrSplit(help, absl::ByAnyChar(" \n"))) {
      // "-h,--help" begins with one dash; an example has its flags' values; sentences have commas.
      if (!absl::StartsWith(word, "--") || absl::StrContains(word, "=") ||
          !absl::ascii_isalnum(static_cast<unsigned char>(word.back()))) {
        continue;
      }
      EXPECT_THAT(text, HasSubstr(absl::StrCat("\n.TP\n\\fB\\-\\-", word.substr(2), "\\fR")))
          << command;
    }
  }
  EXPECT_THAT(text, HasSubstr("\nprepare_dataset image_folder \\-\\-input=photos "));

  // It replaces its own page and no other file.
  EXPECT_EQ(Run(absl::StrCat("--man=", folder_, "/man")).exit_code, 0);
  ASSERT_TRUE(WriteFileAtomically(page, "mine").ok());
  EXPECT_EQ(Run(absl::StrCat("--man=", folder_, "/man")).exit_code, 2);
  EXPECT_EQ(*ReadFile(page), "mine");
}

TEST_F(PrepareDatasetTest, ManRendersTheManualPageWithoutWarnings) {
  if (Shell("bash -c 'command -v man && command -v groff'").exit_code != 0) {
    GTEST_SKIP() << "man and groff are not installed";
  }
  ASSERT_EQ(Run(absl::StrCat("--man=", folder_)).exit_code, 0);
  const Outcome shown = Shell(absl::StrCat("bash -c 'man --warnings -l ", folder_,
                                           "/prepare_dataset.1 > ", folder_, "/shown'"));
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_EQ(shown.output, "");
  EXPECT_THAT(*ReadFile(folder_ + "/shown"), HasSubstr("image_folder"));
}

TEST_F(PrepareDatasetTest, ManifestNamesItsWriter) {
  ASSERT_EQ(Run(Synthetic()).exit_code, 0);
  const auto manifest = ReadFile(data_ + "/manifest.pbtxt");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_THAT(*manifest, HasSubstr(absl::StrCat("writer: \"", kFinetuneWriter, "\"")));
}

TEST_F(PrepareDatasetTest, ExplainsWrongFlagsWithExitCode2) {
  const auto refusal = [&](const std::string& arguments) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << arguments;
    return outcome.output;
  };
  EXPECT_EQ(refusal("cifar1"), "cifar1: no such command; did you mean cifar10?\n");
  EXPECT_EQ(refusal("x"),
            "x: no such command; the commands are cifar10, cifar100, mnist, image_folder, "
            "image_list, synthetic, verify, info\n");
  EXPECT_EQ(refusal("synthetic --clases=3 --output=x"),
            "--clases: no such flag; did you mean --classes?\n");
  EXPECT_EQ(refusal("cifar10 --input mnis"), "--output is required; see --help\n");
  EXPECT_EQ(refusal(""), "A subcommand is required; see --help\n");
  EXPECT_EQ(refusal("synthetic --classes=1 --output=x"),
            "--classes: expected a whole number from 2 to 1000, got 1\n");
  EXPECT_EQ(refusal("synthetic --seed=-1 --output=x"),
            "--seed: expected a whole number of 0 or more, got -1\n");
  EXPECT_EQ(refusal("cifar10 folder --output=x"),
            "folder: is not expected here; did you mean --input=folder?\n");
  EXPECT_THAT(refusal("synthetic --shards=0 --output=x"), HasSubstr("--shards"));
  EXPECT_THAT(refusal("image_folder --val_fraction=0.6 --input=x --output=x"),
              HasSubstr("--val_fraction"));
  EXPECT_EQ(Run("--help").exit_code, 0);
}

TEST_F(PrepareDatasetTest, AResultThatCannotBePrintedIsAFailure) {
  ASSERT_EQ(Run(Synthetic()).exit_code, 0);
  for (const std::string command : {"info ", "verify "}) {
    const Outcome full =
        Shell(absl::StrCat("bash -c '", program_, " ", command, data_, " > /dev/full'"));
    EXPECT_EQ(full.exit_code, 1) << command;
    EXPECT_THAT(full.output, HasSubstr("cannot write to standard output: No space left on device"));
  }
}

TEST_F(PrepareDatasetTest, SaysWhatItDoesAndInfoSaysWhatIsThere) {
  const Outcome made = Run(Synthetic());
  EXPECT_EQ(made.exit_code, 0);
  EXPECT_EQ(made.output, "wrote DIR/out/data\n") << "standard error is a file here";

  const Outcome info = Run("info " + data_);
  EXPECT_EQ(info.exit_code, 0);
  EXPECT_THAT(info.output,
              MatchesRegex("synthetic, from prepare_dataset synthetic, seed 0\n"
                           "images    8x8 \\(height x width\\), 3 channels\n"
                           "mean      [0-9]+\\.[0-9]+ [0-9]+\\.[0-9]+ [0-9]+\\.[0-9]+\n"
                           "std       [0-9]+\\.[0-9]+ [0-9]+\\.[0-9]+ [0-9]+\\.[0-9]+\n"
                           "classes   3: angle_0 \\(4\\), angle_60 \\(4\\), angle_120 \\(4\\)\n"
                           "train     12 images in 3 shards; 4 of each class\n"
                           "test      5 images in 3 shards; 1 \\(angle_120\\) to 2 "
                           "\\(angle_60\\) of a class, 2.0 times as many\n"));
  const Outcome nothing = Run("info " + folder_);
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_THAT(nothing.output, HasSubstr("no data set in DIR: "));
}

TEST_F(PrepareDatasetTest, ExpandsHomeInEveryPath) {
  const std::string home = "env HOME=" + folder_ + " ";
  const std::string made = Synthetic();
  const std::string flags = made.substr(0, made.rfind(" --output="));
  EXPECT_EQ(Shell(home + program_ + " " + flags + " '--output=~/out/data'").exit_code, 0);
  EXPECT_THAT(Left(), ElementsAre("data"));
  EXPECT_EQ(Shell(home + program_ + " verify '~/out/data'").output,
            "DIR/out/data is whole: 17 images, all checksums right\n");
  EXPECT_EQ(Shell(home + program_ + " info '~/out/data'").exit_code, 0);
  EXPECT_EQ(Shell(home + program_ + " mnist '--input=~/nowhere' --output=" + folder_ + "/x").output,
            "no file or folder DIR/nowhere\n");
  const Outcome other = Run(flags + " '--output=~bob/data'");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.output, HasSubstr("~bob/data: found another user's home folder"));
}

TEST_F(PrepareDatasetTest, RedrawsOneLineOnATerminal) {
  const Outcome made = Shell(
      absl::StrCat("script -qec '", program_, " ", Synthetic(), "' ", folder_, "/typescript"));
  EXPECT_EQ(made.exit_code, 0);
  EXPECT_THAT(made.output, HasSubstr("\rtrain: 12 of 12 images\x1b[K\r\n"));
}

TEST_F(PrepareDatasetTest, VerifyNamesEveryDamagedShard) {
  ASSERT_EQ(Run(Synthetic()).exit_code, 0);
  EXPECT_EQ(Run("verify " + data_).output,
            "DIR/out/data is whole: 17 images, all checksums right\n");

  const std::string first = data_ + "/train-00000-of-00003.h5";
  const std::string whole = *ReadFile(first);
  ASSERT_TRUE(WriteFileAtomically(first, whole + "x").ok());
  const std::string second = data_ + "/train-00002-of-00003.h5";
  ASSERT_TRUE(WriteFileAtomically(second, whole.substr(0, 100)).ok());
  fs::remove(data_ + "/test-00001-of-00003.h5");
  const Outcome damaged = Run("verify " + data_);
  EXPECT_EQ(damaged.exit_code, 1);
  EXPECT_THAT(damaged.output,
              MatchesRegex(
                  "DIR/out/data/train-00000-of-00003.h5: its SHA-256 is [0-9a-f]+; the manifest "
                  "says [0-9a-f]+\n"
                  "DIR/out/data/train-00002-of-00003.h5: has 100 bytes, too few for its 4 images "
                  "of 192 bytes: it is cut short. Prepare the data again\n"
                  "cannot open DIR/out/data/test-00001-of-00003.h5: No such file or directory; its "
                  "manifest lists it\n"));
}

TEST_F(PrepareDatasetTest, ForceReplacesADataSetAndNothingElse) {
  ASSERT_EQ(Run(Synthetic()).exit_code, 0);
  const Outcome again = Run(Synthetic(" --seed=1"));
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_EQ(again.output, "DIR/out/data exists; --force replaces it\n");
  EXPECT_THAT(Run("info " + data_).output, HasSubstr("seed 0\n"));

  EXPECT_EQ(Run(Synthetic("/ --seed=1 --force")).exit_code, 0) << "with a slash at its end";
  EXPECT_THAT(Run("info " + data_).output, HasSubstr("seed 1\n"));
  EXPECT_EQ(Run("verify " + data_).exit_code, 0);
  EXPECT_THAT(Left(), ElementsAre("data"));

  std::ofstream(data_ + "/notes.txt") << "mine";
  const Outcome beside = Run(Synthetic(" --force"));
  EXPECT_EQ(beside.exit_code, 2);
  EXPECT_EQ(beside.output,
            "DIR/out/data holds notes.txt, which its manifest does not name. --force replaces only "
            "data sets: name another --output, or remove the folder yourself\n");
  EXPECT_TRUE(fs::exists(data_ + "/notes.txt"));
  fs::remove(data_ + "/notes.txt");
  std::ofstream(data_ + "/manifest.pbtxt") << "";
  EXPECT_EQ(Run(Synthetic(" --force")).exit_code, 2) << "a manifest of somebody else's";
  EXPECT_TRUE(fs::exists(data_ + "/manifest.pbtxt"));

  fs::remove_all(data_);
  fs::create_directories(data_ + "/somebody's work");
  const Outcome other = Run(Synthetic(" --force"));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_EQ(other.output,
            "DIR/out/data holds other files (it has no manifest.pbtxt); --force replaces only data "
            "sets\n");
  EXPECT_TRUE(fs::exists(data_ + "/somebody's work"));
}

TEST_F(PrepareDatasetTest, NamesAPlaceThatCannotBeWritten) {
  std::ofstream(data_) << "a file";
  const Outcome outcome =
      Run("synthetic --classes=2 --train=2 --test=2 --output=" + data_ + "/below");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_EQ(outcome.output, "cannot create a folder beside DIR/out/data/below: Not a directory\n");
}

TEST_F(PrepareDatasetTest, LeavesNothingBehindAfterASignal) {
  for (const int number : {SIGINT, SIGTERM}) {
    Job job(absl::StrCat(program_, " synthetic --size=256 --train=1000000 --test=1 --output=",
                         folder_, "/out/new/data"),
            NextOutput());
    ASSERT_TRUE(job.WaitFor(" of 1000000 images"));
    EXPECT_THAT(Left(), ElementsAre("new"));
    kill(job.pid(), number);
    const Outcome outcome = job.Wait();
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.output, EndsWith("stopped; nothing was written\n"));
    EXPECT_THAT(Left(), ElementsAre());
  }
}

// The signal arrives while threads are reading images.
TEST_F(PrepareDatasetTest, LeavesNothingBehindWhereAConversionOfImagesIsStopped) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/x.jpg", FlatJpeg(512, 512, 9)).ok());
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/y.jpg", FlatJpeg(512, 512, 8)).ok());
  std::string list;
  for (int i = 0; i < 100000; ++i) absl::StrAppend(&list, i % 2 == 0 ? "x.jpg 0\n" : "y.jpg 1\n");
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/list.txt", list).ok());
  Job job(absl::StrCat(program_, " image_list --input=", folder_, "/list.txt --output=", folder_,
                       "/out/new/data"),
          NextOutput());
  ASSERT_TRUE(job.WaitFor(" of 90000 images, "));
  EXPECT_THAT(Left(), ElementsAre("new"));
  kill(job.pid(), SIGINT);
  const Outcome outcome = job.Wait();
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, EndsWith("stopped; nothing was written\n"));
  EXPECT_THAT(Left(), ElementsAre());
}

TEST_F(PrepareDatasetTest, InfoAndVerifyKnowEncodedImages) {
  for (int i = 0; i < 4; ++i) {
    const auto grey = static_cast<uint8_t>(50 * i);
    const std::string name = absl::StrCat(folder_, "/in/", i % 2 == 0 ? "cat" : "dog", "/", i);
    fs::create_directories(fs::path(name).parent_path());
    ASSERT_TRUE((i < 3 ? WriteFileAtomically(name + ".jpg", FlatJpeg(100 + i, 300, grey))
                       : WriteFileAtomically(name + ".png", FlatPng(70, 20, grey, 1, 2)))
                    .ok());
  }
  ASSERT_EQ(
      Run("image_folder --shards=1 --val_fraction=0 --input=" + folder_ + "/in --output=" + data_)
          .exit_code,
      0);
  EXPECT_THAT(
      Run("info " + data_).output,
      MatchesRegex("in, from DIR/in\n"
                   "images    of several sizes, 3 channels, stored encoded\n"
                   "mean .*\nstd .*\n"
                   "classes   2: cat \\(2\\), dog \\(2\\)\n"
                   "train     4 images in 1 shard; 2 of each class\n"
                   "          3 JPEG, 1 PNG; 0.0 MiB\n"
                   "          70x20 to 102x300 \\(height x width\\); shorter side: below 64 "
                   "1, below 128 3\n"));
  EXPECT_EQ(Run("verify " + data_).output,
            "DIR/out/data is whole: 4 images, all checksums right\n");

  const std::string path = data_ + "/train-00000-of-00001.h5";
  std::string bytes = *ReadFile(path);
  const size_t png = bytes.find("\x89PNG");
  ASSERT_NE(png, std::string::npos);
  bytes[png + 40] = static_cast<char>(bytes[png + 40] ^ 1);
  ASSERT_TRUE(WriteFileAtomically(path, bytes).ok());
  const Outcome damaged = Run("verify " + data_);
  EXPECT_EQ(damaged.exit_code, 1);
  EXPECT_THAT(damaged.output,
              MatchesRegex("DIR/out/data/train-00000-of-00001.h5: the checksum of "
                           "image 3 \\(bytes [0-9]+ to [0-9]+ of its `bytes`\\) "
                           "is wrong: the file is damaged. Prepare the data again\n"));
}

TEST_F(PrepareDatasetTest, KeepsTheOldDataSetAfterASignal) {
  ASSERT_EQ(Run(Synthetic()).exit_code, 0);
  Job job(absl::StrCat(program_,
                       " synthetic --size=256 --train=1000000 --test=1 --force --output=", data_),
          NextOutput());
  ASSERT_TRUE(job.WaitFor(" of 1000000 images"));
  kill(job.pid(), SIGINT);
  EXPECT_EQ(job.Wait().exit_code, 1);
  EXPECT_THAT(Left(), ElementsAre("data"));
  EXPECT_EQ(Run("verify " + data_).output,
            "DIR/out/data is whole: 17 images, all checksums right\n");
}

TEST_F(PrepareDatasetTest, LeavesNothingBehindAtAFileSizeLimit) {
  ASSERT_EQ(Run(Synthetic()).exit_code, 0);
  const Outcome outcome = Shell(absl::StrCat(
      "bash -c 'ulimit -f 1000; exec ", program_,
      " synthetic --size=64 --train=1000 --test=1 --shards=1 --force --output=", data_, "'"));
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  EXPECT_THAT(outcome.output,
              MatchesRegex("DIR/out/data.partial-....../train-00000-of-00001.h5: cannot "
                           "write( images)?: File too large\n"));
  EXPECT_THAT(Left(), ElementsAre("data"));
  EXPECT_EQ(Run("verify " + data_).exit_code, 0);
}

// The output is on a file system of 2 MiB if this machine can mount one. Otherwise a limit on the
// size of files imitates a full disk.
TEST_F(PrepareDatasetTest, LeavesNothingBehindOnAFullDisk) {
  const std::string disk = folder_ + "/out";
  const std::string mount = absl::StrCat("mount -t tmpfs -o size=2m tmpfs ", disk);
  const bool can_mount = Shell("unshare -m " + mount).exit_code == 0;
  const std::string limit = can_mount ? mount : "ulimit -f 1000";
  const Outcome outcome =
      Shell(absl::StrCat(can_mount ? "unshare -m " : "", "bash -c '", limit, "; ", program_,
                         " synthetic --size=64 --train=1000 --test=1 --shards=4 --output=", data_,
                         "; echo exit $?; ls -A ", disk, "; echo end'"));
  EXPECT_THAT(
      outcome.output,
      MatchesRegex(absl::StrCat(
          "DIR/out/data.partial-....../train-0000.-of-00004.h5: cannot (create|write( images)?): ",
          can_mount ? "No space left on device" : "File too large", "\nexit 1\nend\n")));
}

}  // namespace
}  // namespace finetune
