#ifndef FINETUNE_CONFIG_SEARCH_H_
#define FINETUNE_CONFIG_SEARCH_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// Returns the path of the config `name`, which is searched for in `first_folder` ("": the working
// folder) and then in each folder of `search_path`. Errors: NotFound with the places tried and the
// nearest name in them.
absl::StatusOr<std::string> FindConfig(const std::string& name, const std::string& first_folder,
                                       const std::vector<std::string>& search_path);

// Returns the folders to search for configs, in this order: `from_flags`; the folders of the
// environment variable FINETUNE_CONFIG_PATH (colon-separated); the configs folder that belongs to
// the running program, installed (PREFIX/share/finetune/configs) or in the source tree from which
// it was built.
std::vector<std::string> ConfigSearchPath(const std::vector<std::string>& from_flags);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_SEARCH_H_
