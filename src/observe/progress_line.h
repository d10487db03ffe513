#ifndef FINETUNE_OBSERVE_PROGRESS_LINE_H_
#define FINETUNE_OBSERVE_PROGRESS_LINE_H_

#include <chrono>
#include <cstdio>
#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// The last line of a terminal, which is redrawn in place. Call Clear() before anything else is
// printed.
class ProgressLine {
 public:
  // `terminal` must outlive this object. If `enabled` is false, nothing is drawn, for output that
  // is not a terminal.
  ProgressLine(std::FILE* terminal, bool enabled) : terminal_(terminal), enabled_(enabled) {}

  // Shows `text`, cut to the terminal's width, in place of the text shown before.
  void Draw(absl::string_view text);
  void Clear();
  // Leaves the text on the terminal and moves to the next line.
  void Keep();

 private:
  std::FILE* terminal_;
  bool enabled_;
  bool drawn_ = false;
};

// Reports progress at a limited rate: on a terminal ten times a second in a ProgressLine, otherwise
// every few seconds in a line on standard error.
class PacedProgress {
 public:
  // `terminal` must outlive this object. `watched`: whether `terminal` is a terminal. `else_every`:
  // the time between two lines if it is not.
  PacedProgress(std::FILE* terminal, bool watched, std::chrono::seconds else_every)
      : line_(terminal, watched), watched_(watched), else_every_(else_every) {}

  // Returns whether Show() should be called now. After it has returned true, it returns false until
  // the next report is due.
  bool IsDue();
  void Show(absl::string_view text);
  // Keep() leaves the last text on the terminal; Clear() removes it.
  void Keep() { line_.Keep(); }
  void Clear() { line_.Clear(); }

 private:
  ProgressLine line_;
  bool watched_;
  std::chrono::seconds else_every_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Returns whether standard output is a terminal. Open MPI connects its ranks to a pseudo-terminal
// even if the output of mpirun is not a terminal, so under Open MPI this checks the output of
// mpirun.
bool IsWatched();

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_PROGRESS_LINE_H_
