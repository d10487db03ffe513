#ifndef FINETUNE_CHECKPOINT_WRITER_H_
#define FINETUNE_CHECKPOINT_WRITER_H_

#include <string>

#include "absl/status/status.h"
#include "src/checkpoint/value.h"

namespace finetune {

// Writes `root` as one .pth (a ZIP file) that Python's torch.load(path, weights_only=True) reads,
// whole or not at all (see AtomicFile). A dict with only tensors becomes an OrderedDict, as
// PyTorch's own state dicts are. Bytes of a string that are not UTF-8 become U+FFFD.
//
// Tensors are written contiguous, row by row, from the CPU. Others are copied first, one at a time.
// Tensors with the same memory are written once. `root`'s tensors must not change during the call:
// to go on training, write a Snapshotter's copy from another thread.
//
// Errors: InvalidArgument, with its place, for an opaque value, bytes, or a dict's key that is
// neither str nor int; those of AtomicFile.
absl::Status WriteTorchFile(const std::string& path, const Value& root);

// Copies values, so that training may go on while another thread writes a copy. A copy's memory is
// used again for the next copy when nobody holds the copy any more, because fresh memory would cost
// more than the copying. Not thread-safe.
class Snapshotter {
 public:
  // Returns the same value with all tensors copied to the CPU, contiguous.
  Value Take(const Value& value);

 private:
  at::Tensor memory_;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_WRITER_H_
