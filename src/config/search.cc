#include "src/config/search.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/nearest_name.h"

namespace finetune {

namespace fs = std::filesystem;

absl::StatusOr<std::string> FindConfig(const std::string& name, const std::string& first_folder,
                                       const std::vector<std::string>& search_path) {
  std::vector<std::string> tried;
  std::vector<std::string> folders = {first_folder};
  folders.insert(folders.end(), search_path.begin(), search_path.end());
  for (const std::string& folder : folders) {
    const fs::path path =
        fs::path(name).is_absolute() || folder.empty() ? fs::path(name) : fs::path(folder) / name;
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (fs::is_regular_file(status)) return path.lexically_normal().string();
    tried.push_back(path.lexically_normal().string());
    if (fs::is_directory(status)) {
      tried.back() += " (a folder)";
    } else if (fs::exists(status)) {
      tried.back() += " (not a regular file)";
    }
    if (fs::path(name).is_absolute()) break;
  }
  std::vector<std::string> near;
  for (const std::string& folder : folders) {
    std::error_code error;
    const fs::path parent = (fs::path(folder.empty() ? "." : folder) / name).parent_path();
    for (const auto& entry : fs::directory_iterator(parent, error)) {
      if (entry.path().extension() == ".pbtxt") near.push_back(entry.path().filename().string());
    }
  }
  const std::string suggestion = NearestName(fs::path(name).filename().string(), near);
  return absl::NotFoundError(
      absl::StrCat("no config ", name, "; looked for ", absl::StrJoin(tried, ", "),
                   suggestion.empty() ? "" : absl::StrCat("; did you mean ", suggestion, "?"),
                   "; folders to look in: --config_path or FINETUNE_CONFIG_PATH"));
}

std::vector<std::string> ConfigSearchPath(const std::vector<std::string>& from_flags) {
  std::vector<std::string> folders = from_flags;
  if (const char* variable = std::getenv("FINETUNE_CONFIG_PATH"); variable != nullptr) {
    for (absl::string_view folder : absl::StrSplit(variable, ':', absl::SkipEmpty())) {
      folders.emplace_back(folder);
    }
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = program.parent_path().parent_path() / "share/finetune/configs";
  if (fs::is_directory(installed, error)) folders.push_back(installed.string());
  // A program that runs from its build folder finds the configs in its runfiles, as links to the
  // source tree.
  const fs::path in_tree =
      program.string() + ".runfiles/finetune/configs/_base_/default_runtime.pbtxt";
  if (const fs::path file = fs::canonical(in_tree, error); !error) {
    folders.push_back(file.parent_path().parent_path().string());
  }
  return folders;
}

}  // namespace finetune
