#ifndef FINETUNE_BASE_EXPAND_HOME_H_
#define FINETUNE_BASE_EXPAND_HOME_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Replaces a "~" at the start of a path with the environment's HOME, as a shell does where the "~"
// is not in quotes: "~" and "~/runs". Every other path is returned as it is.
// Errors: InvalidArgument where HOME is not set, and for "~name", another user's folder, which only
// a shell looks up; a folder that is really called "~name" is written "./~name".
absl::StatusOr<std::string> ExpandHome(absl::string_view path);

}  // namespace finetune

#endif  // FINETUNE_BASE_EXPAND_HOME_H_
