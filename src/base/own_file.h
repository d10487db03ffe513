#ifndef FINETUNE_BASE_OWN_FILE_H_
#define FINETUNE_BASE_OWN_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace finetune {

// finetune replaces and deletes only files that it wrote. A text file says so in its first line;
// checkpoint/own_checkpoint.h says how a checkpoint does.

// The error for a file that somebody else wrote where finetune wants to write. AlreadyExists, with
// the path and the advice to move it.
absl::Status ForeignFileError(absl::string_view path);

// OK where `path` does not exist, or is a file whose first line is `first_line`. Errors:
// ForeignFileError for any other file; those of SystemError.
absl::Status CheckOwnText(const std::string& path, absl::string_view first_line);

// Renames a file at `path` that CheckOwnText() refuses to `path`.bak. Returns whether there was
// one. Errors: AlreadyExists where `path`.bak exists too; those of SystemError.
absl::StatusOr<bool> SetAside(const std::string& path, absl::string_view first_line);

// Writes `first_line`, a line end and `text` to `path`, whole or not at all. Errors: those of
// CheckOwnText() and AtomicFile.
absl::Status WriteOwnText(const std::string& path, absl::string_view first_line,
                          absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_BASE_OWN_FILE_H_
