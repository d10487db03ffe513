#ifndef FINETUNE_OBSERVE_PROGRESS_LINE_H_
#define FINETUNE_OBSERVE_PROGRESS_LINE_H_

#include <chrono>
#include <cstdio>
#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// The last line of a terminal, redrawn in place; nothing at all where there is no terminal. Clear
// it before anything else is printed.
class ProgressLine {
 public:
  // `terminal` is not owned. With `enabled` false, nothing is ever drawn.
  ProgressLine(std::FILE* terminal, bool enabled) : terminal_(terminal), enabled_(enabled) {}

  // Shows `text`, cut to the terminal's width, in place of what was shown.
  void Draw(absl::string_view text);
  void Clear();
  // Leaves what is shown, and ends its line.
  void Keep();

 private:
  std::FILE* terminal_;
  bool enabled_;
  bool drawn_ = false;
};

// How far something is, as often as one wants to be told: on a terminal in a ProgressLine, ten
// times a second, else every few seconds in a line of its own on standard error.
class PacedProgress {
 public:
  // `terminal` is not owned; `watched`: it is one.
  PacedProgress(std::FILE* terminal, bool watched, std::chrono::seconds else_every)
      : line_(terminal, watched), watched_(watched), else_every_(else_every) {}

  // Whether it is time to Show() something; then it counts as done.
  bool IsDue();
  void Show(absl::string_view text);
  // What is on the terminal stays there, or goes.
  void Keep() { line_.Keep(); }
  void Clear() { line_.Clear(); }

 private:
  ProgressLine line_;
  bool watched_;
  std::chrono::seconds else_every_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Whether somebody watches standard output on a terminal. Open MPI gives its ranks a terminal of
// its own whatever its output is; there, its own output counts.
bool IsWatched();

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_PROGRESS_LINE_H_
