#ifndef FINETUNE_TRAIN_CHECKPOINT_KEEPER_H_
#define FINETUNE_TRAIN_CHECKPOINT_KEEPER_H_

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/checkpoint/alias.h"
#include "src/checkpoint/store.h"
#include "src/checkpoint/writer.h"
#include "src/observe/trace.h"

namespace finetune {

// Reads and writes a run's checkpoints in its work_dir. Used on rank 0 only.
class CheckpointKeeper {
 public:
  enum class Earlier {
    kRefuse,  // refuse a work_dir that holds an earlier run's checkpoints
    kKeep,    // keep the earlier checkpoints: this run continues from one
    kRemove,  // delete the earlier checkpoints: this run starts over
  };

  // Creates `work_dir` where it is missing, and locks it. `known`: checkpoints of `work_dir` that
  // were just read, which are not read again. Each write is recorded in `trace`, which may be null.
  // Errors: AlreadyExists where `earlier` is kRefuse and `work_dir` holds checkpoints; those of
  // CheckpointStore::Open().
  static absl::StatusOr<std::unique_ptr<CheckpointKeeper>> Open(
      const std::string& work_dir, int keep_last, Earlier earlier,
      const std::vector<SavedCheckpoint>& known, Trace* trace);

  // See CheckpointStore::locked.
  bool locked() const { return store_.locked(); }

  // Returns whether Find() will return a checkpoint or an error, without reading a checkpoint.
  // Errors: those of listing `work_dir`.
  static absl::StatusOr<bool> WillFind(const std::string& work_dir, const std::string& resume);

  // Returns the checkpoint that `resume`, the value of --resume, names. "auto" names the newest
  // checkpoint of `work_dir` that is not damaged; nothing is returned where `work_dir` has no
  // checkpoints. "" names none. Any other value is a path. Writes nothing. Errors: those of reading
  // the checkpoint.
  static absl::StatusOr<std::optional<FoundCheckpoint>> Find(const std::string& work_dir,
                                                             const std::string& resume);

  // See CheckpointStore::HasIteration, BestIteration and PointBest. Do not call them while a
  // checkpoint is being written.
  bool HasIteration(int64_t iteration) const { return store_.HasIteration(iteration); }
  absl::StatusOr<std::optional<int64_t>> BestIteration() const { return store_.BestIteration(); }
  absl::StatusOr<bool> PointBest(int64_t iteration) { return store_.PointBest(iteration); }

  // Waits for the previous checkpoint, copies `root`, and writes the copy as `name` on another
  // thread while training continues. That thread calls `saved` when the file is completely written.
  // `best`: see CheckpointStore::Save. Errors: those of writing the previous checkpoint.
  absl::Status Save(const std::string& name, const Value& root, std::vector<int64_t> best,
                    std::function<void()> saved);
  // Waits until the last checkpoint is written. Errors: those of writing it.
  absl::Status Finish();

 private:
  CheckpointKeeper(CheckpointStore store, TraceTrack* track)
      : store_(std::move(store)), track_(track) {}

  CheckpointStore store_;
  TraceTrack* const track_;  // may be null
  Snapshotter snapshotter_;
  // The running write. It is the last member, so that its destructor waits for the write before the
  // members that the write uses are destroyed.
  std::future<absl::Status> saving_;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_CHECKPOINT_KEEPER_H_
