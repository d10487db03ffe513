#include "src/observe/progress_line.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/utf8.h"
#include "src/host/launch_environment.h"

namespace finetune {

void ProgressLine::Draw(absl::string_view text) {
  if (!enabled_) return;
  // The text is cut to the terminal's width, because a line that wraps cannot be replaced.
  struct winsize size = {};
  const bool known = ioctl(fileno(terminal_), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  text = Utf8Start(text, known ? size.ws_col - 1 : 79);
  std::fputs(absl::StrCat("\r", text, "\x1b[K").c_str(), terminal_);
  std::fflush(terminal_);
  drawn_ = true;
}

void ProgressLine::Clear() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", terminal_);
  std::fflush(terminal_);
  drawn_ = false;
}

void ProgressLine::Keep() {
  if (!drawn_) return;
  std::fputc('\n', terminal_);
  std::fflush(terminal_);
  drawn_ = false;
}

bool PacedProgress::IsDue() {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < (watched_ ? std::chrono::milliseconds(100) : else_every_)) return false;
  last_ = now;
  return true;
}

void PacedProgress::Show(absl::string_view text) {
  if (watched_) {
    line_.Draw(text);
  } else {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
  }
}

bool IsWatched() {
  if (isatty(STDOUT_FILENO) == 0) return false;
  if (ReadLaunch().launcher == Launcher::kNone) return true;
  std::error_code error;
  const std::string output =
      std::filesystem::read_symlink(absl::StrCat("/proc/", getppid(), "/fd/1"), error).string();
  return !error && (absl::StartsWith(output, "/dev/pts/") || absl::StartsWith(output, "/dev/tty"));
}

}  // namespace finetune
