#ifndef FINETUNE_OBSERVE_PROGRESS_LINE_H_
#define FINETUNE_OBSERVE_PROGRESS_LINE_H_

#include <chrono>
#include <cstdio>
#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// A progress text on the last line of a terminal, which each Draw() replaces. Call Clear() or
// Keep() before anything else is printed to the terminal.
class ProgressLine {
 public:
  // `terminal` must outlive this object. If `enabled` is false, for example because the output is
  // not a terminal, nothing is drawn.
  ProgressLine(std::FILE* terminal, bool enabled) : terminal_(terminal), enabled_(enabled) {}

  // Replaces the text on the line by `text`, cut to the terminal's width.
  void Draw(absl::string_view text);
  // Removes the text from the terminal.
  void Clear();
  // Leaves the text on the terminal and goes to a new line.
  void Keep();

 private:
  std::FILE* terminal_;
  bool enabled_;
  bool drawn_ = false;
};

// Shows progress at a limited rate. On a terminal it updates a ProgressLine at most ten times a
// second. Otherwise it prints a line to stderr every `else_every`.
class PacedProgress {
 public:
  // `terminal` must outlive this object. `watched`: whether `terminal` really is a terminal
  // (IsWatched()). `else_every`: the least time between two lines if it is not.
  PacedProgress(std::FILE* terminal, bool watched, std::chrono::seconds else_every)
      : line_(terminal, watched), watched_(watched), else_every_(else_every) {}

  // Returns whether enough time has passed for the next Show(). If so, the time until the following
  // one starts now.
  bool IsDue();
  void Show(absl::string_view text);
  // Keep() leaves the last text on the terminal; Clear() removes it. Call one of them at the end.
  void Keep() { line_.Keep(); }
  void Clear() { line_.Clear(); }

 private:
  ProgressLine line_;
  bool watched_;
  std::chrono::seconds else_every_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Returns whether standard output is shown on a terminal. Open MPI connects ranks to a
// pseudo-terminal even if mpirun's own output is not a terminal. So under a launcher this checks
// the output of the parent process too.
bool IsWatched();

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_PROGRESS_LINE_H_
