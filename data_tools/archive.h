#ifndef FINETUNE_DATA_TOOLS_ARCHIVE_H_
#define FINETUNE_DATA_TOOLS_ARCHIVE_H_

#include <map>
#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// Reads the named files from `input`: a folder (searched to a depth of two), or an archive that
// libarchive knows (.tar, .tar.gz, .zip, ...), whatever folder they are in. A file may also stand
// there compressed by itself as NAME.gz. Returns name -> bytes for those found. Errors name the
// archive and the byte at which it breaks off.
absl::StatusOr<std::map<std::string, std::string>> ReadNamedFiles(
    const std::string& input, const std::vector<std::string>& names);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_ARCHIVE_H_
