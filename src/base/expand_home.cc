#include "src/base/expand_home.h"

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace finetune {

absl::StatusOr<std::string> ExpandHome(absl::string_view path) {
  if (!absl::StartsWith(path, "~")) return std::string(path);
  const absl::string_view rest = path.substr(1);
  if (!rest.empty() && rest[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat(path,
                     ": found another user's home folder; expected ~/ or a path without ~. "
                     "Write the whole path (a folder of this name here is ./",
                     path, ")"));
  }
  const char* const home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe): only read
  if (home == nullptr || *home == '\0') {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": ~ stands for HOME, which the environment does not set. Write the whole path"));
  }
  return absl::StrCat(home, rest);
}

}  // namespace finetune
