#ifndef FINETUNE_CHECKPOINT_ALIAS_H_
#define FINETUNE_CHECKPOINT_ALIAS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/checkpoint/value.h"

namespace finetune {

// latest.pth and best.pth: second names of checkpoints in the same folder. Each is a symbolic link
// to a bare file name. Where the file system has no symbolic links it is a hard link, and where it
// has neither (FAT, many network shares) a copy: a file that torch.load reads under every name.

// A checkpoint in the folder, and its meta.iteration.
struct SavedCheckpoint {
  int64_t iteration;
  std::string name;
};

// The meta.iteration of a checkpoint's root. Errors: those of Value::GetInt().
absl::StatusOr<int64_t> IterationOf(const Value& root);

// Gives the checkpoint FOLDER/TARGET the second name FOLDER/ALIAS, in one step: a crash leaves the
// old alias or the new one. Errors: those of SystemError.
absl::Status PointAlias(const std::string& folder, const std::string& alias,
                        const std::string& target);

// The name of the checkpoint that FOLDER/ALIAS stands for: what a symbolic link holds, or, for a
// file, the one of `saved` that is the same file or else is of the same iteration. Empty where it
// stands for none, or is not finetune's.
std::string AliasTarget(const std::string& folder, const std::string& alias,
                        const std::vector<SavedCheckpoint>& saved);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_ALIAS_H_
