#ifndef FINETUNE_DATA_TOOLS_ARCHIVE_H_
#define FINETUNE_DATA_TOOLS_ARCHIVE_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// A file that was found, and what to call it in errors: its path, or "ARCHIVE: NAME".
struct NamedFile {
  std::string where;
  std::string bytes;
};

// The names of the files in `input`, a folder (searched to a depth of two) or an archive, sorted;
// "NAME" also for a file NAME.gz. Errors: those of ReadNamedFiles.
absl::StatusOr<std::vector<std::string>> ListFileNames(const std::string& input);

// Reads the named files from `input`: a folder (searched to a depth of two), or an archive that
// libarchive knows (.tar, .tar.gz, .zip, ...), whatever folder they are in. A file may be
// compressed by itself as NAME.gz; NAME comes first where both are there. Returns those found, by
// name, with at most `max_bytes` together. Errors name the file and the byte at which it breaks
// off, both places of a file that is there twice, or the folder to give where `input` is one of the
// files itself.
absl::StatusOr<std::map<std::string, NamedFile>> ReadNamedFiles(
    const std::string& input, const std::vector<std::string>& names,
    size_t max_bytes = size_t{1} << 30);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_ARCHIVE_H_
