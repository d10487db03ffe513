#ifndef FINETUNE_OBSERVE_PROGRESS_LINE_H_
#define FINETUNE_OBSERVE_PROGRESS_LINE_H_

#include <chrono>
#include <cstdio>
#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// The last line of a terminal, redrawn in place; does nothing where there is no terminal. Clear it
// before anything else is printed.
class ProgressLine {
 public:
  // `terminal` is not owned. With `enabled` false nothing is drawn.
  ProgressLine(std::FILE* terminal, bool enabled) : terminal_(terminal), enabled_(enabled) {}

  // Shows `text`, cut to the terminal's width, in place of the earlier text.
  void Draw(absl::string_view text);
  void Clear();
  // Leaves the text on the terminal and ends its line.
  void Keep();

 private:
  std::FILE* terminal_;
  bool enabled_;
  bool drawn_ = false;
};

// Reports the progress of something, as often as is useful: on a terminal ten times a second in a
// ProgressLine, else every few seconds in a line on standard error.
class PacedProgress {
 public:
  // `terminal` is not owned; `watched`: it is a terminal.
  PacedProgress(std::FILE* terminal, bool watched, std::chrono::seconds else_every)
      : line_(terminal, watched), watched_(watched), else_every_(else_every) {}

  // Returns whether a Show() is due; then the next one is due only after a pause.
  bool IsDue();
  void Show(absl::string_view text);
  // Leaves the text on the terminal, or removes it.
  void Keep() { line_.Keep(); }
  void Clear() { line_.Clear(); }

 private:
  ProgressLine line_;
  bool watched_;
  std::chrono::seconds else_every_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Returns whether somebody watches standard output on a terminal. Open MPI gives its ranks a
// terminal even if mpirun's own output is not one, so under Open MPI this asks for mpirun's output.
bool IsWatched();

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_PROGRESS_LINE_H_
