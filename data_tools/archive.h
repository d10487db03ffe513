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

// The bytes of a file, and its name for errors: its path, or "ARCHIVE: NAME".
struct NamedFile {
  std::string where;
  std::string bytes;
};

// Returns the sorted names of the files in `input`, an archive or a folder (with two levels of
// folders in it). A file NAME.gz is listed as NAME. Errors: those of ReadNamedFiles.
absl::StatusOr<std::vector<std::string>> ListFileNames(const std::string& input);

// Reads the named files from `input`: a folder (with two levels of folders in it), or an archive
// that libarchive reads (.tar, .tar.gz, .zip, ...), where they may be in any folder. A file may be
// compressed as NAME.gz. If a folder has both NAME and NAME.gz, NAME is read; in an archive this is
// an error. Returns the files that exist, by name. Together they may have at most `max_bytes`.
// Errors name the file and the byte at which its data end or are damaged, a file that exists twice,
// or, where `input` is one of the files itself, the folder to give instead.
absl::StatusOr<std::map<std::string, NamedFile>> ReadNamedFiles(
    const std::string& input, const std::vector<std::string>& names,
    size_t max_bytes = size_t{1} << 30);

// Unpacks the files of an archive for which `wanted` returns true into `folder`, which must be
// empty. Links are neither followed nor made. `progress`: called with the number of files unpacked
// so far; if it returns false, unpacking is cancelled. Returns the number of files and links that
// were not unpacked. Errors: InvalidArgument with the entry's name, for an entry that is not a
// file, a folder or a link (a device), whose name leads out of the folder, or that exists twice;
// DataLoss for an archive that is damaged and for a file of more than 1 GiB; those of writing.
absl::StatusOr<int64_t> UnpackFiles(const std::string& archive, const std::string& folder,
                                    const std::function<bool(const std::string& name)>& wanted,
                                    const std::function<bool(int64_t done)>& progress);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_ARCHIVE_H_
