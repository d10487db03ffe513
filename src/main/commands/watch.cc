#include "src/main/commands/watch.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "src/base/exit_code.h"
#include "src/base/print_output.h"
#include "src/observe/watch.h"

namespace finetune {
namespace {

constexpr absl::Duration kRefresh = absl::Seconds(2);

// Returns whether the environment variables choose a UTF-8 locale.
bool ShowsUtf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    const std::string lower = absl::AsciiStrToLower(value);
    return absl::StrContains(lower, "utf-8") || absl::StrContains(lower, "utf8");
  }
  return false;
}

int ExitCodeOf(const WatchedRun& run) {
  if (run.health == WatchedRun::Health::kStale || run.health == WatchedRun::Health::kGone ||
      run.health == WatchedRun::Health::kOtherClock) {
    return kExitFailed;
  }
  switch (run.status.state) {
    case RunState::kFailed:
      return kExitFailed;
    case RunState::kInterrupted:
      return kExitStopped;
    case RunState::kRunning:
    case RunState::kDone:
      break;
  }
  return kExitDone;
}

// Prints the run over the lines that the last call printed. `drawn`: the number of those lines, 0
// if there are none; set to the number of lines printed now. The cursor goes back by `drawn` lines,
// so on a terminal no line may wrap and none may scroll off the screen: both are cut to its size.
absl::Status Draw(const WatchedRun& run, absl::Time now, bool terminal, size_t* drawn) {
  WatchScreen screen;
  screen.utf8 = ShowsUtf8();
  screen.columns = std::numeric_limits<int>::max();
  size_t rows = std::numeric_limits<size_t>::max();
  struct winsize size = {};
  if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 &&
      size.ws_row > 1) {
    screen.columns = size.ws_col - 1;
    rows = size.ws_row - 1;
  }
  std::vector<std::string> lines = DescribeRun(run, now, screen);
  if (lines.size() > rows) lines.resize(rows);
  // Escape sequences: the cursor goes up by `drawn` lines, and the screen below it is cleared.
  const std::string back = *drawn > 0 ? absl::StrCat("\x1b[", *drawn, "A\r\x1b[J") : "";
  *drawn = lines.size();
  return PrintOutput(absl::StrCat(back, absl::StrJoin(lines, "\n"), "\n"));
}

}  // namespace

void WatchCommand::AddFlags(FlagList* flags) {
  flags
      ->Path(Flag::Kind::kFolder, "WORK_DIR", "WORK_DIR",
             "The folder of the run. The exit code is the run's: 0 running or done, 1 failed, "
             "dead or silent for long, 2 without a state that can be read, 75 interrupted",
             &work_dir_)
      ->required = true;
  flags->Switch(
      "--once",
      "Print the state once and exit, as without a terminal; otherwise until the run ends", &once_);
}

int WatchCommand::Run(const Invocation& invocation) {
  if (invocation.rank != 0) return kExitDone;
  const bool follows = !once_ && isatty(STDOUT_FILENO) != 0;
  size_t drawn = 0;
  while (true) {
    const absl::Time now = absl::Now();
    const absl::StatusOr<WatchedRun> run = ReadWatchedRun(work_dir_, now);
    const absl::Status shown =
        run.ok() ? Draw(*run, now, follows, &drawn) : absl::Status(run.status());
    if (!shown.ok()) {
      ReportError(shown, invocation.rank);
      // Whatever the error is, it says nothing about the run, so this is not the code of a failed
      // run.
      return kExitUsage;
    }
    const bool over =
        run->health == WatchedRun::Health::kEnded || run->health == WatchedRun::Health::kGone;
    if (over || !follows) return ExitCodeOf(*run);
    absl::SleepFor(kRefresh);
  }
}

}  // namespace finetune
