#ifndef FINETUNE_CHECKPOINT_WRITER_H_
#define FINETUNE_CHECKPOINT_WRITER_H_

#include <string>

#include "absl/status/status.h"
#include "src/checkpoint/value.h"

namespace finetune {

// Writes `root` as a .pth (a ZIP file) that Python's torch.load(path, weights_only=True) can read.
// The file appears complete or not at all (see AtomicFile). A dict whose values are all tensors
// becomes an OrderedDict, as PyTorch's state dicts are. Bytes of a string that are not UTF-8 are
// replaced by U+FFFD.
//
// All tensors are written as contiguous ones. A tensor that is not contiguous or not on the CPU is
// first copied, one tensor at a time. The memory of tensors that have the same memory and type is
// written once. The tensors of `root` must not change during the call. To go on training meanwhile,
// copy `root` with a Snapshotter and write the copy on another thread.
//
// Errors: InvalidArgument, with the place in `root`, for an opaque object, for bytes, for a tensor
// of an unsupported type, and for a dict's key that is neither str nor int; those of AtomicFile.
absl::Status WriteTorchFile(const std::string& path, const Value& root);

// Copies values, so that training can continue while another thread writes the copy. If the
// previous copy has been destroyed, its memory is reused, because getting new memory from the
// system would take longer than the copying. Not thread-safe.
class Snapshotter {
 public:
  // Returns a copy of `value` in which all tensors are copied to the CPU and contiguous.
  Value Take(const Value& value);

 private:
  at::Tensor memory_;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_WRITER_H_
