#include "src/main/man_page.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/exit_code.h"
#include "src/base/test_folder.h"
#include "src/main/command_line.h"
#include "src/main/commands/all.h"

namespace finetune {
namespace {

using testing::HasSubstr;

std::string PageOf(const std::string& file) {
  for (const ManPage& page : ManPages(MakeCommands())) {
    if (page.file == file) return page.text;
  }
  ADD_FAILURE() << "no page " << file;
  return "";
}

TEST(ManPage, EveryCommandHasAPageThatTheProgramsPageNames) {
  const CommandList commands = MakeCommands();
  const std::string all = PageOf("finetune.1");
  for (const auto& command : commands) {
    const std::string text = PageOf(absl::StrCat("finetune-", command->name(), ".1"));
    EXPECT_THAT(text, HasSubstr(absl::StrCat("\nfinetune\\-", command->name(), " \\- ")));
    EXPECT_THAT(all, HasSubstr(absl::StrCat("\n.BR finetune\\-", command->name(), " (1)\n")));
    FlagList flags;
    command->AddFlags(&flags);
    for (const Flag& flag : flags.flags()) {
      EXPECT_THAT(text, HasSubstr(flag.IsPositional()
                                      ? absl::StrCat("\n.TP\n\\fI", flag.name, "\\fR\n")
                                      : absl::StrCat("\n.TP\n\\fB\\-\\-", flag.name.substr(2))));
    }
  }
}

TEST(ManPage, ShellTextStaysAsTyped) {
  EXPECT_THAT(PageOf("finetune-predict.1"),
              HasSubstr("\nfind photos \\-name \\(aq*.jpg\\(aq | mpirun \\-np 2 finetune predict"));
  EXPECT_THAT(PageOf("finetune-train.1"), HasSubstr("\\fB\\-\\-resume\\fR=\\fIauto|PTH\\fR\n"));
}

// Returns the exit code of `finetune help --man=FOLDER`.
int WritePages(const std::string& folder) {
  const CommandList commands = MakeCommands();
  const absl::StatusOr<Command*> command =
      ParseCommandLine(commands, {"help", absl::StrCat("--man=", folder)});
  EXPECT_TRUE(command.ok()) << command.status();
  return command.ok() ? (*command)->Run({0, nullptr, 0, commands}) : -1;
}

TEST(ManPage, ReplacesItsOwnPagesAndNoOtherFile) {
  const std::string folder = EmptyTestFolder();
  EXPECT_EQ(WritePages(folder + "/new"), kExitDone);
  EXPECT_EQ(*ReadFile(folder + "/new/finetune.1"), PageOf("finetune.1"));
  EXPECT_EQ(WritePages(folder + "/new"), kExitDone);

  ASSERT_TRUE(WriteFileAtomically(folder + "/finetune-watch.1", "mine").ok());
  EXPECT_EQ(WritePages(folder), kExitUsage);
  EXPECT_EQ(*ReadFile(folder + "/finetune-watch.1"), "mine");
  EXPECT_FALSE(ReadFile(folder + "/finetune.1").ok());
}

// A line that begins with a dot or a quote would be a request of roff.
TEST(ManPage, OnlyKnownRequestsBeginALine) {
  for (const ManPage& page : ManPages(MakeCommands())) {
    for (const absl::string_view line : absl::StrSplit(page.text, '\n')) {
      EXPECT_FALSE(absl::StartsWith(line, "'")) << line;
      if (!absl::StartsWith(line, ".")) continue;
      EXPECT_THAT(std::string(line), testing::ContainsRegex("^\\.(TH|SH|TP|BR|nf|fi|\\\\\")"));
    }
  }
}

TEST(ManPage, ManRendersEveryPageWithoutWarnings) {
  if (std::system("command -v man > /dev/null && command -v groff > /dev/null") != 0) {
    GTEST_SKIP() << "man and groff are not installed";
  }
  const std::string folder = EmptyTestFolder();
  for (const ManPage& page : ManPages(MakeCommands())) {
    const std::string path = absl::StrCat(folder, "/", page.file);
    ASSERT_TRUE(WriteFileAtomically(path, page.text).ok());
    const std::string command =
        absl::StrCat("man --warnings -l ", path, " 2> ", folder, "/warnings > ", folder, "/shown");
    EXPECT_EQ(std::system(command.c_str()), 0) << command;
    EXPECT_EQ(*ReadFile(folder + "/warnings"), "") << page.file;
    EXPECT_THAT(*ReadFile(folder + "/shown"), HasSubstr("SYNOPSIS"));
  }
}

}  // namespace
}  // namespace finetune
