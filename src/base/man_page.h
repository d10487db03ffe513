#ifndef FINETUNE_BASE_MAN_PAGE_H_
#define FINETUNE_BASE_MAN_PAGE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Manual pages in roff with the macros of man(7). finetune makes its pages of its commands,
// prepare_dataset makes its page of its flags.

struct ManPage {
  std::string file;  // "finetune-evaluate.1"
  std::string text;
};

// Returns plain text as roff prints it: a minus stays a minus, quotes stay those of a shell, and no
// line begins a request.
std::string RoffText(absl::string_view text);
// Return such text in bold and in italics.
std::string RoffBold(absl::string_view text);
std::string RoffItalic(absl::string_view text);
// Returns an entry of a list: `term`, which is roff, and `text`, which is plain and gets indented.
std::string RoffEntry(absl::string_view term, absl::string_view text);

// Returns the beginning of a page, up to the heading of its synopsis. `first_line`: the comment by
// which WriteManPages() knows the page. `name`: "finetune-evaluate". `summary`: one line.
std::string ManPageHead(absl::string_view first_line, absl::string_view name,
                        absl::string_view summary);

// An exit code and its meaning, a sentence.
using ExitCodes = std::vector<std::pair<int, std::string>>;
// Returns the sections of a page about exit codes, examples (command lines) and other pages.
// `see_also`: roff; empty: there is no such section.
std::string ManPageTail(const ExitCodes& codes, const std::vector<std::string>& examples,
                        absl::string_view see_also);

// Writes the pages into `folder`, which is created if it does not exist. Returns their paths, one a
// line. Nothing is written if a page would replace a file whose first line is not `first_line`.
// Errors: those of CheckOwnText(), SystemError() and AtomicFile.
absl::StatusOr<std::string> WriteManPages(const std::vector<ManPage>& pages,
                                          const std::string& folder, absl::string_view first_line);

}  // namespace finetune

#endif  // FINETUNE_BASE_MAN_PAGE_H_
