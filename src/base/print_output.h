#ifndef FINETUNE_BASE_PRINT_OUTPUT_H_
#define FINETUNE_BASE_PRINT_OUTPUT_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Prints the result of a command on standard output, and makes sure that it has been written.
// Errors: those of SystemError, for example where standard output is a file on a full disk.
absl::Status PrintOutput(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_BASE_PRINT_OUTPUT_H_
