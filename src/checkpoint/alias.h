#ifndef FINETUNE_CHECKPOINT_ALIAS_H_
#define FINETUNE_CHECKPOINT_ALIAS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/checkpoint/value.h"

namespace finetune {

// latest.pth and best.pth are second names of checkpoints in the same folder. Each is a symbolic
// link to a bare file name. On a file system without symbolic links it is a hard link, and on one
// without links (FAT, many network shares) a copy. torch.load reads the file by each name.

// A checkpoint in the folder, and its meta.iteration.
struct SavedCheckpoint {
  int64_t iteration;
  std::string name;
};

// Returns the meta.iteration of a checkpoint's root. Errors: those of Value::GetInt().
absl::StatusOr<int64_t> IterationOf(const Value& root);

// Gives the checkpoint FOLDER/TARGET the second name FOLDER/ALIAS in one step: a crash leaves the
// old alias or the new one, and after PointAlias() has returned the new one. Errors: those of
// SystemError.
absl::Status PointAlias(const std::string& folder, const std::string& alias,
                        const std::string& target);

// Returns the name of the checkpoint that FOLDER/ALIAS stands for: the content of a symbolic link;
// for a file, the one of `saved` that is the same file, else the one of the same iteration. Returns
// "" where it stands for none, or is not finetune's. Errors: those of SystemError where it cannot
// be told.
absl::StatusOr<std::string> AliasTarget(const std::string& folder, const std::string& alias,
                                        const std::vector<SavedCheckpoint>& saved);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_ALIAS_H_
