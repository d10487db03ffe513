#ifndef FINETUNE_HOST_OPEN_FILES_H_
#define FINETUNE_HOST_OPEN_FILES_H_

#include "absl/status/status.h"

namespace finetune {

// The number of files, sockets and pipes that a rank must be allowed to have open at once. MPI
// takes most of them, and ends without naming the limit where it is too low.
inline constexpr int kLeastOpenFiles = 64;

// Makes sure that this process may have kLeastOpenFiles files open: raises its own limit where the
// system lets it. Errors: ResourceExhausted, with both numbers and the command that raises the
// limit.
absl::Status AllowOpenFiles();

}  // namespace finetune

#endif  // FINETUNE_HOST_OPEN_FILES_H_
