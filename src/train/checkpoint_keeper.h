#ifndef FINETUNE_TRAIN_CHECKPOINT_KEEPER_H_
#define FINETUNE_TRAIN_CHECKPOINT_KEEPER_H_

#include <cstdint>
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

// A run's checkpoints in its work_dir, for rank 0 to read and write.
class CheckpointKeeper {
 public:
  enum class Earlier {
    kRefuse,  // refuse a work_dir that holds an earlier run's checkpoints
    kKeep,    // keep them: this run continues from one
    kRemove,  // remove them: this run starts over in their place
  };

  // Creates `work_dir` where it is missing, and locks it. `known`: as CheckpointStore::Open() has
  // it. Its writing is recorded in `trace`, which may be null. Errors: AlreadyExists for kRefuse;
  // those of CheckpointStore::Open.
  static absl::StatusOr<std::unique_ptr<CheckpointKeeper>> Open(
      const std::string& work_dir, int keep_last, Earlier earlier,
      const std::vector<SavedCheckpoint>& known, Trace* trace);

  // Returns whether Find() will return a checkpoint or an error.
  static bool WillFind(const std::string& work_dir, const std::string& resume);

  // Returns the checkpoint that --resume names. "auto" is the newest whole one of `work_dir`, or
  // none where it has none; "" is none; any other value is a path. Writes nothing. Errors: those of
  // reading it.
  static absl::StatusOr<std::optional<FoundCheckpoint>> Find(const std::string& work_dir,
                                                             const std::string& resume);

  // As CheckpointStore has them. Do not call them while a checkpoint is written.
  absl::StatusOr<std::optional<int64_t>> BestIteration() const { return store_.BestIteration(); }
  absl::StatusOr<bool> PointBest(int64_t iteration) { return store_.PointBest(iteration); }

  // Copies `root` and writes the copy as `name` while training goes on. Errors: those of the
  // checkpoint before.
  absl::Status Save(const std::string& name, const Value& root, bool is_best);
  // Waits until the last checkpoint is written. Errors: those of writing it.
  absl::Status Finish();

 private:
  CheckpointKeeper(CheckpointStore store, TraceTrack* track)
      : store_(std::move(store)), track_(track) {}

  CheckpointStore store_;
  TraceTrack* const track_;  // may be null
  Snapshotter snapshotter_;
  // The last member, so that it ends before the members that it uses are destroyed.
  std::future<absl::Status> saving_;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_CHECKPOINT_KEEPER_H_
