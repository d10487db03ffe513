#ifndef FINETUNE_CHECKPOINT_STORE_H_
#define FINETUNE_CHECKPOINT_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/checkpoint/value.h"

namespace finetune {

// The checkpoints of one run, in its work_dir: `epoch_3.pth` and `iter_1200.pth`, and the links
// `latest.pth` and `best.pth` to two of them.
class CheckpointStore {
 public:
  explicit CheckpointStore(std::string work_dir) : work_dir_(std::move(work_dir)) {}

  bool HasCheckpoints() const { return !List().empty(); }

  // Writes work_dir/name, whole or not at all, points latest.pth (and best.pth) at it, and deletes
  // all but the newest `keep_last` (0: none is deleted) besides the best. Errors: those of
  // WriteTorchFile.
  absl::Status Save(const std::string& name, const Value& root, bool is_best, int keep_last) const;

  // The newest checkpoint that can be read whole, and what is wrong with newer ones. Nothing where
  // there is none at all. Errors: DataLoss when there are some and none can be read.
  struct Found {
    std::string path;
    Value root;
    std::vector<std::string> damaged;
  };
  absl::StatusOr<std::optional<Found>> FindLatest() const;

  // Deletes all checkpoints and the links: a run that begins again.
  absl::Status Clear() const;

 private:
  // Names, newest first: by the iteration in their meta data's stead, the time of writing.
  std::vector<std::string> List() const;
  std::string LinkTarget(const std::string& link) const;
  absl::Status PointAt(const std::string& link, const std::string& name) const;

  std::string work_dir_;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_STORE_H_
