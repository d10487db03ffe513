#ifndef FINETUNE_BASE_OWN_FILE_H_
#define FINETUNE_BASE_OWN_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace finetune {

// finetune replaces and deletes only files that it wrote. A text file names finetune in its first
// line; checkpoint/own_checkpoint.h explains how a checkpoint does.

// Returns the error for a path that finetune wants to write but where another program's file lies:
// AlreadyExists, with the path and the advice to move the file.
absl::Status ForeignFileError(absl::string_view path);

// Returns OK where `path` does not exist or is a file whose first line is `first_line`. Also for a
// file that is empty or begins with as many zero bytes, as a crash of the machine leaves one:
// replacing it loses nothing. Errors: ForeignFileError for any other file; those of SystemError.
absl::Status CheckOwnText(const std::string& path, absl::string_view first_line);

// Renames the file at `path` to `path`.bak where CheckOwnText() refuses it. Returns whether it
// renamed a file. Errors: AlreadyExists where `path`.bak exists too; those of SystemError.
absl::StatusOr<bool> SetAside(const std::string& path, absl::string_view first_line);

// Writes `first_line`, a line end and `text` to `path`, whole or not at all. Errors: those of
// CheckOwnText() and AtomicFile.
absl::Status WriteOwnText(const std::string& path, absl::string_view first_line,
                          absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_BASE_OWN_FILE_H_
