#ifndef FINETUNE_BASE_LIST_FOLDER_H_
#define FINETUNE_BASE_LIST_FOLDER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace finetune {

// Returns the names (not the paths) of a folder's entries, sorted by their bytes. Errors: those of
// SystemError.
absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder);

}  // namespace finetune

#endif  // FINETUNE_BASE_LIST_FOLDER_H_
