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

// The checkpoints of a run in its work_dir: files named epoch_N.pth or iter_N.pth, and the aliases
// latest.pth and best.pth of two of them (see alias.h). Their order is that of meta.iteration, an
// integer in each file.
//
// The store replaces and deletes only files that finetune wrote (see own_checkpoint.h). It refuses
// a folder in which a file of another program has one of these names.
//
// Only one process at a time (rank 0 of one run) may write to a folder. It holds a lock on the file
// .checkpoints.lock in the folder. The system releases the lock when the process ends, even by a
// crash.
class CheckpointStore {
 public:
  // Creates the folder if it is missing, and removes incomplete files that dead runs left in it.
  // `keep_last`: the number of latest checkpoints to keep, besides the best ones; 0 keeps all.
  // `known`: checkpoints of this folder that have just been read (FoundCheckpoint::saved) and so
  // need not be read again. Errors: FailedPrecondition, with host and process, if another run
  // writes to the folder; AlreadyExists, with the path, if a file that finetune did not write has
  // one of the store's names; those of the file system.
  static absl::StatusOr<CheckpointStore> Open(const std::string& folder, int keep_last,
                                              const std::vector<SavedCheckpoint>& known = {});

  // Returns whether the store holds the folder's lock. False where the file system has no locks.
  bool locked() const { return lock_.ok(); }

  // Checks that finetune wrote every file in the folder that has one of the store's names. OK if
  // the folder does not exist. Errors: AlreadyExists with the path of a file that another program
  // wrote; those of the file system.
  static absl::Status CheckOwnFiles(const std::string& folder);

  // Returns whether the folder has a file with a checkpoint's name, complete or damaged. False if
  // the folder does not exist.
  static absl::StatusOr<bool> HasCheckpoints(const std::string& folder);
  // Deletes all checkpoints, complete or damaged, and the aliases, for a run that starts from the
  // beginning.
  absl::Status RemoveAll();
  // Returns the meta.iteration of best.pth, or nullopt if there is no best.pth. Errors: those of
  // AliasTarget().
  absl::StatusOr<std::optional<int64_t>> BestIteration() const;

  // Returns whether there is a checkpoint of this meta.iteration that can be read.
  bool HasIteration(int64_t iteration) const;

  // Makes best.pth an alias of the checkpoint of `iteration`. Returns false if there is no such
  // checkpoint. Errors: AlreadyExists if finetune did not write the present best.pth; those of the
  // file system.
  absl::StatusOr<bool> PointBest(int64_t iteration);

  // Writes `root` as the file `name` ("epoch_3.pth"). Makes latest.pth an alias of it. `best`: the
  // meta.iteration of each best checkpoint, the best first; may be empty. If the first one is that
  // of `root`, makes best.pth an alias too. Then deletes the oldest checkpoints so that keep_last
  // remain, but never the latest, those of `best`, or the one that best.pth names. Old checkpoints
  // are deleted only after the new one is complete, and no crash leaves an incomplete one under a
  // checkpoint's name. May be called on any thread, one call at a time. Errors: InvalidArgument if
  // `name` is not a checkpoint's name or `root` lacks meta.iteration or meta.writer; AlreadyExists
  // if it would replace a file that finetune did not write; those of WriteTorchFile().
  absl::Status Save(const std::string& name, const Value& root,
                    const std::vector<int64_t>& best = {});

 private:
  CheckpointStore(std::string folder, int keep_last, Fd lock)
      : folder_(std::move(folder)), keep_last_(keep_last), lock_(std::move(lock)) {}

  absl::Status Prune(const std::vector<int64_t>& best);

  std::string folder_;
  int keep_last_;
  Fd lock_;
  // The readable checkpoints in the order in which Prune() deletes them; the latest is at the end.
  std::vector<SavedCheckpoint> saved_;
};

// The checkpoint from which a run can resume.
struct FoundCheckpoint {
  std::string path;
  // The content of the checkpoint.
  Value root;
  // A message for each checkpoint that was skipped because it is damaged or has weights that are
  // not finite.
  std::vector<std::string> skipped;
  // The checkpoints of the folder whose meta data can be read. Pass them to CheckpointStore::Open()
  // as `known`.
  std::vector<SavedCheckpoint> saved;
};

// Returns the newest checkpoint of a folder from which a run can resume. This is the checkpoint
// that latest.pth names. If that is damaged or has values that are not finite, it is the one before
// it, and so on. The returned checkpoint has been read completely, so it is not damaged. Errors:
// NotFound if there is no checkpoint or no such folder; DataLoss if no checkpoint can be used, with
// the reason for each; InvalidArgument, with both versions, if a newer version of finetune wrote
// one of them.
absl::StatusOr<FoundCheckpoint> FindLatestCheckpoint(const std::string& folder);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_STORE_H_
