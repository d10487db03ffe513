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

// The bytes of a file. where: how errors name the file, which is its path or "ARCHIVE: NAME".
struct NamedFile {
  std::string where;
  std::string bytes;
};

// Returns the names, without folders, of the files in `input`, sorted. `input`: an archive, or a
// folder, which is searched down to two levels of subfolders. A file NAME.gz is listed as NAME.
// Errors: those of ReadNamedFiles().
absl::StatusOr<std::vector<std::string>> ListFileNames(const std::string& input);

// Reads those of the files `names` that exist in `input`, and returns them by name. `input`: a
// folder, which is searched down to two levels of subfolders, or an archive that libarchive can
// read (.tar, .tar.gz, .zip, ...), in which the files may be in any folder. A file may be
// compressed as NAME.gz. If a folder has both NAME and NAME.gz, NAME is read; in an archive this is
// an error. `max_bytes`: the limit for the bytes of all files together, uncompressed. Errors: for
// damaged or truncated data they name the file and the byte; for a file that exists twice they name
// both; if `input` is itself one of the files, they name the folder to give instead.
absl::StatusOr<std::map<std::string, NamedFile>> ReadNamedFiles(
    const std::string& input, const std::vector<std::string>& names,
    size_t max_bytes = size_t{1} << 30);

// Unpacks those files of an archive for which `wanted` returns true into `folder`, which must be
// empty. Links are neither followed nor created. `progress`: called with the number of files
// unpacked so far; if it returns false, the error Cancelled is returned. Returns the number of
// files and links that were not unpacked. Errors: InvalidArgument, with the entry's name, for an
// entry that is a device, pipe or socket, whose name leads out of the folder, or that exists twice;
// DataLoss for a damaged archive and for a file of more than 1 GiB; those of writing.
absl::StatusOr<int64_t> UnpackFiles(const std::string& archive, const std::string& folder,
                                    const std::function<bool(const std::string& name)>& wanted,
                                    const std::function<bool(int64_t done)>& progress);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_ARCHIVE_H_
