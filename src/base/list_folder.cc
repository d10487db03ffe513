#include "src/base/list_folder.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "src/base/system_error.h"

namespace finetune {

absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) return SystemError("cannot read", folder, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace finetune
