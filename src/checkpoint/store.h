#ifndef FINETUNE_CHECKPOINT_STORE_H_
#define FINETUNE_CHECKPOINT_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/base/fd.h"
#include "src/checkpoint/alias.h"
#include "src/checkpoint/value.h"

namespace finetune {

// The checkpoints of a run in its work_dir: epoch_3.pth, iter_1200.pth, ..., and the aliases
// latest.pth and best.pth of two of them (see alias.h). They are ordered by their integer
// meta.iteration.
//
// The store replaces and deletes only files that finetune wrote (see own_checkpoint.h). It refuses
// a folder where files of other programs have these names.
//
// Only one process at a time (rank 0 of one run) may write to a folder. It holds a lock on the
// folder's file .checkpoints.lock, which ends with the process, however that ends.
class CheckpointStore {
 public:
  // Creates the folder where it is missing, and removes what dead runs left half-written in it.
  // `keep_last`: checkpoints kept besides the best; 0 keeps all. `known`: checkpoints of this
  // folder that have just been read (FoundCheckpoint::saved); they are not read again. Errors:
  // FailedPrecondition with host and process where another run writes here; AlreadyExists with the
  // path where a file that finetune did not write has a name that it would use; those of the file
  // system.
  static absl::StatusOr<CheckpointStore> Open(const std::string& folder, int keep_last,
                                              const std::vector<SavedCheckpoint>& known = {});

  // Checks that finetune wrote each file of the folder whose name the store uses. OK where the
  // folder is missing. Errors: AlreadyExists with the path of a file that another program wrote;
  // those of the file system.
  static absl::Status CheckOwnFiles(const std::string& folder);

  // Returns whether the folder has any checkpoint, whole or damaged; false where it does not exist.
  static absl::StatusOr<bool> HasCheckpoints(const std::string& folder);
  // Deletes all checkpoints, whole or damaged, for a run that starts over.
  absl::Status RemoveAll();
  // Returns the meta.iteration of best.pth, or nullopt if there is no best.pth. Errors: those of
  // AliasTarget().
  absl::StatusOr<std::optional<int64_t>> BestIteration() const;

  // Points best.pth at the checkpoint of `iteration`. Returns false where there is none. Errors:
  // AlreadyExists for a best.pth that finetune did not write; those of the file system.
  absl::StatusOr<bool> PointBest(int64_t iteration);

  // Writes `root` as `name` ("epoch_3.pth"), points latest.pth at it, and best.pth too if it
  // `is_best`. Then deletes the oldest checkpoints beyond keep_last, but never the latest or the
  // best. A crash at any point leaves all earlier files, or the new one whole. May be called from
  // any thread, one call at a time. Errors: InvalidArgument for another kind of name or a root
  // without meta.iteration or meta.writer; AlreadyExists where it would replace a file that
  // finetune did not write; those of WriteTorchFile.
  absl::Status Save(const std::string& name, const Value& root, bool is_best);

 private:
  CheckpointStore(std::string folder, int keep_last, Fd lock)
      : folder_(std::move(folder)), keep_last_(keep_last), lock_(std::move(lock)) {}

  absl::Status Prune();

  std::string folder_;
  int keep_last_;
  Fd lock_;
  // In the order of deletion; the latest is at the end.
  std::vector<SavedCheckpoint> saved_;
};

// A checkpoint to resume from.
struct FoundCheckpoint {
  std::string path;
  // The whole checkpoint.
  Value root;
  // One message for each newer checkpoint that was skipped: damaged, or with weights that are not
  // finite.
  std::vector<std::string> skipped;
  // The folder's checkpoints that can be read: CheckpointStore::Open() takes them as known.
  std::vector<SavedCheckpoint> saved;
};

// The newest checkpoint of a folder that a run can go on from: the one that latest.pth names, else,
// where that is damaged or holds values that are not finite, the one before, and so on. Each is
// read in full, so that the result is known to be whole. Errors: NotFound where there is no
// checkpoint at all (nor maybe the folder); DataLoss where none of them can be used, with what is
// wrong with each; InvalidArgument, with both versions, where one is of a newer finetune.
absl::StatusOr<FoundCheckpoint> FindLatestCheckpoint(const std::string& folder);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_STORE_H_
