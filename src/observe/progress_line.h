#ifndef FINETUNE_OBSERVE_PROGRESS_LINE_H_
#define FINETUNE_OBSERVE_PROGRESS_LINE_H_

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

 private:
  std::FILE* terminal_;
  bool enabled_;
  bool drawn_ = false;
};

// Whether somebody watches standard output on a terminal. Open MPI gives its ranks a terminal of
// its own whatever its output is; there, its own output counts.
bool IsWatched();

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_PROGRESS_LINE_H_
