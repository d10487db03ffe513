#ifndef FINETUNE_BASE_EXPAND_HOME_H_
#define FINETUNE_BASE_EXPAND_HOME_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Returns `path` with a leading "~" replaced by the environment's HOME, as a shell does for "~" and
// "~/runs" without quotes. Returns every other path unchanged.
// Errors: InvalidArgument where HOME is not set, and for "~name", which means another user's folder
// and which only a shell looks up. A folder that is really called "~name" is written "./~name".
absl::StatusOr<std::string> ExpandHome(absl::string_view path);

}  // namespace finetune

#endif  // FINETUNE_BASE_EXPAND_HOME_H_
