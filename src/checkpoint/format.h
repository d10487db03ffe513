#ifndef FINETUNE_CHECKPOINT_FORMAT_H_
#define FINETUNE_CHECKPOINT_FORMAT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/checkpoint/input_file.h"
#include "src/checkpoint/value.h"

namespace finetune {

// The keys that lead from a checkpoint's root dict to an entry of a dict in it. Empty: the root
// itself.
using Place = std::vector<std::string>;

// An open checkpoint file of one format. Errors do not name the file, so the caller must add its
// name. A truncated file gives OutOfRange or DataLoss.
class CheckpointFile {
 public:
  virtual ~CheckpointFile() = default;

  // Returns the places of the dicts that contain tensors, in the file's order, a dict before those
  // inside it. Leaves out dicts of an optimizer, and dicts nested more deeply than programs store
  // weights.
  virtual std::vector<Place> StateDicts() const = 0;

  // Reads the entry at `place` with everything in it. Errors: NotFound if it does not exist.
  virtual absl::StatusOr<Value> Read(const Place& place) = 0;

  // Returns false if the format has checksums but this file was written without them.
  virtual bool IsChecked() const { return true; }
};

struct CheckpointFormat {
  // Returns whether a file is of this format; at most one format recognizes a file. `head`: the
  // file's first 512 bytes, or all bytes of a shorter file.
  bool (*recognizes)(absl::string_view head, uint64_t file_size);
  // Opens a file of this format. `file` must outlive the result.
  absl::StatusOr<std::unique_ptr<CheckpointFile>> (*open)(const InputFile& file);
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_FORMAT_H_
