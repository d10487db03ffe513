#ifndef FINETUNE_BASE_SYSTEM_ERROR_H_
#define FINETUNE_BASE_SYSTEM_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Returns an error for a system call on `path` that failed with errno `error`:
//   SystemError("cannot open", "a.pth", errno)  // cannot open a.pth: No such file or directory
// The error's code is NotFound, InvalidArgument (a folder in the place of a file),
// PermissionDenied, ResourceExhausted (a full disk, too many open files) or Internal.
absl::Status SystemError(absl::string_view what, absl::string_view path, int error);

}  // namespace finetune

#endif  // FINETUNE_BASE_SYSTEM_ERROR_H_
