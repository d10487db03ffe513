#ifndef FINETUNE_TRAIN_RUN_FOLDER_H_
#define FINETUNE_TRAIN_RUN_FOLDER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/checkpoint/alias.h"
#include "src/checkpoint/store.h"
#include "src/config/config.h"
#include "src/train/checkpoint_keeper.h"
#include "src/train/train_options.h"

namespace finetune {

// A run's work_dir. Used on rank 0 only. Nothing is written before Open(), so a refused run leaves
// the folder as it was.
class RunFolder {
 public:
  // `options` must outlive this object.
  explicit RunFolder(const TrainOptions* options) : options_(*options) {}

  // Reads the checkpoint that --resume names; returns nothing where there is no checkpoint. Errors:
  // those of CheckpointStore::CheckOwnFiles() and CheckpointKeeper::Find().
  absl::StatusOr<std::optional<FoundCheckpoint>> ReadSource();

  // Checks that the run may replace the folder's files, creates the folder and locks it.
  // `keep_last`: as for CheckpointKeeper::Open(). With --overwrite it deletes the earlier run's
  // checkpoints and TensorBoard events. Errors: AlreadyExists for a file that finetune did not
  // write; those of CheckpointKeeper::Open().
  absl::StatusOr<std::unique_ptr<CheckpointKeeper>> Open(int keep_last);

  // Writes config.pbtxt. Errors: those of WriteOwnText().
  absl::Status WriteConfig(const LoadedConfig& loaded) const;

  // Whether the run continues in the folder of the checkpoint that ReadSource() has read.
  bool in_place() const { return in_place_; }

  // Returns sentences for the log about what Open() found.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  const TrainOptions& options_;
  // Whether the run resumes from a checkpoint in this work_dir.
  bool in_place_ = false;
  // The checkpoints of this work_dir that ReadSource() has read.
  std::vector<SavedCheckpoint> known_;
  std::vector<std::string> warnings_;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_RUN_FOLDER_H_
