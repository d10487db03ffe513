#ifndef FINETUNE_CHECKPOINT_ALIAS_H_
#define FINETUNE_CHECKPOINT_ALIAS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/checkpoint/value.h"

namespace finetune {

// An alias is a second name of a checkpoint in the same folder: latest.pth or best.pth. It is a
// symbolic link whose content is the checkpoint's file name. On a file system without symbolic
// links it is a hard link, and on one without any links (FAT, many network shares) it is a copy.
// torch.load can read all three.

// The file name of a checkpoint in the folder, and its meta.iteration.
struct SavedCheckpoint {
  int64_t iteration;
  std::string name;
};

// Returns meta.iteration of a checkpoint, whose root dict is `root`. Errors: those of
// Value::GetInt().
absl::StatusOr<int64_t> IterationOf(const Value& root);

// Gives the checkpoint FOLDER/TARGET the second name FOLDER/ALIAS in one step: a crash leaves the
// old alias or the new one, and after PointAlias() has returned the new one. Errors: those of
// SystemError.
absl::Status PointAlias(const std::string& folder, const std::string& alias,
                        const std::string& target);

// Returns the file name of the checkpoint of which FOLDER/ALIAS is an alias. For a symbolic link
// this is its content. For a file it is the checkpoint in `saved` that is the same file (a hard
// link), or otherwise the one with the same meta.iteration (a copy). Returns "" if there is no such
// checkpoint or finetune did not write the file. Errors: those of SystemError() if the file system
// does not tell.
absl::StatusOr<std::string> AliasTarget(const std::string& folder, const std::string& alias,
                                        const std::vector<SavedCheckpoint>& saved);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_ALIAS_H_
