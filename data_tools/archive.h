#ifndef FINETUNE_DATA_TOOLS_ARCHIVE_H_
#define FINETUNE_DATA_TOOLS_ARCHIVE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
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

// Unpacks the files of an archive for whose names `wanted` is true, below `folder`, which must be
// empty. Links are not followed and not made. `progress`: called with the number of files unpacked
// so far; a false answer cancels. Returns how many files were not wanted.
// Errors: InvalidArgument with the entry's name, for one that is not a file, a folder or a link (a
// device), whose name leads out of the folder, or that is there twice; DataLoss for an archive that
// is damaged and for a file of more than 1 GiB; those of writing.
absl::StatusOr<int64_t> UnpackFiles(const std::string& archive, const std::string& folder,
                                    const std::function<bool(const std::string& name)>& wanted,
                                    const std::function<bool(int64_t done)>& progress);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_ARCHIVE_H_
