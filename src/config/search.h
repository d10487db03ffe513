#ifndef FINETUNE_CONFIG_SEARCH_H_
#define FINETUNE_CONFIG_SEARCH_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// Returns the path of the config `name`: sought in `first_folder` ("": the working folder), then in
// each folder of `search_path`. Errors: NotFound with the places tried and the nearest name there.
absl::StatusOr<std::string> FindConfig(const std::string& name, const std::string& first_folder,
                                       const std::vector<std::string>& search_path);

// Returns the folders to seek configs in: `from_flags`, then FINETUNE_CONFIG_PATH
// (colon-separated), then the configs folder that belongs to the running program: installed
// (PREFIX/share/finetune/configs) or in the source tree it was built from.
std::vector<std::string> ConfigSearchPath(const std::vector<std::string>& from_flags);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_SEARCH_H_
