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

// The keys that lead from a checkpoint's root dict to one of its entries. Empty: the root.
using Place = std::vector<std::string>;

// A checkpoint file of one format, open for reading. Errors do not name the file, so the caller
// must add its name. A file that ends too early gives OutOfRange or DataLoss.
class CheckpointFile {
 public:
  virtual ~CheckpointFile() = default;

  // Returns the places of the dicts that contain tensors, in the file's order, the root first.
  // Leaves out an optimizer's dicts, and dicts deeper in the file than programs store weights.
  virtual std::vector<Place> StateDicts() const = 0;

  // Returns the entry at `place` with all that it contains. Errors: NotFound where it does not
  // exist.
  virtual absl::StatusOr<Value> Read(const Place& place) = 0;

  // Returns false where the format has checksums and the file was written without them.
  virtual bool IsChecked() const { return true; }
};

struct CheckpointFormat {
  // Returns whether a file is of this format, by a property that files of the other formats do not
  // have. `head`: the file's first 512 bytes, or all of it.
  bool (*recognizes)(absl::string_view head, uint64_t file_size);
  // Opens a file of this format. `file` must outlive the result.
  absl::StatusOr<std::unique_ptr<CheckpointFile>> (*open)(const InputFile& file);
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_FORMAT_H_
