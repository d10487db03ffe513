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

// The keys that lead from a checkpoint's root to one of its entries. Empty: the root.
using Place = std::vector<std::string>;

// A checkpoint file of one format, open for reading. Errors do not name the file; the caller does.
// A file that ends too early is OutOfRange or DataLoss.
class CheckpointFile {
 public:
  virtual ~CheckpointFile() = default;

  // The dicts with tensors in them, in the file's order, the root first. Those of an optimiser, and
  // those that lie deeper than programs put weights, are left out.
  virtual std::vector<Place> StateDicts() const = 0;

  // The entry at `place`, with all that it contains. Errors: NotFound where there is no such entry.
  virtual absl::StatusOr<Value> Read(const Place& place) = 0;

  // False where the format has checksums and the file was written without them.
  virtual bool IsChecked() const { return true; }
};

struct CheckpointFormat {
  // Whether a file is of this format, by something that no file of another format has. `head` is
  // its first 512 bytes, or all of it.
  bool (*recognizes)(absl::string_view head, uint64_t file_size);
  // `file` must outlive the result.
  absl::StatusOr<std::unique_ptr<CheckpointFile>> (*open)(const InputFile& file);
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_FORMAT_H_
