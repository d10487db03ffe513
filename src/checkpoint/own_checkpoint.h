#ifndef FINETUNE_CHECKPOINT_OWN_CHECKPOINT_H_
#define FINETUNE_CHECKPOINT_OWN_CHECKPOINT_H_

#include <string>

#include "absl/status/status.h"
#include "src/checkpoint/value.h"

namespace finetune {

// Tells finetune's own checkpoints from those of other trainers, which use the same file names. The
// first entry of the root is "meta", and the first entry of "meta" is "writer", a string that
// begins with "finetune ". WriteTorchFile() puts that string into the first bytes of the file,
// where it is found even if the rest of the file is damaged.

// Errors: InvalidArgument for a root that could not be told from another trainer's.
absl::Status CheckNamesWriter(const Value& root);

// Returns whether the first bytes of the file name finetune as its writer. An empty file, and one
// whose first bytes are all zero (a crash of the host can leave it), count as finetune's: replacing
// them loses nothing. Returns false for a folder and for a file that cannot be read.
bool IsOwnCheckpoint(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_OWN_CHECKPOINT_H_
