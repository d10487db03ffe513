#ifndef FINETUNE_CHECKPOINT_WRITER_H_
#define FINETUNE_CHECKPOINT_WRITER_H_

#include <string>

#include "absl/status/status.h"
#include "src/checkpoint/value.h"

namespace finetune {

// Writes `root` as one .pth (a ZIP file) that Python's torch.load(path, weights_only=True) reads,
// whole or not at all (see AtomicFile). A dict of nothing but tensors becomes an OrderedDict, as
// PyTorch's own state dicts are; bytes of a string that are no UTF-8 become U+FFFD.
//
// Tensors are written contiguous, row by row, from the CPU; one that is neither is copied first,
// one at a time. Tensors that are the same memory are written once. `root`'s tensors must not
// change meanwhile: to go on training, write a Snapshot() from another thread.
//
// Errors: InvalidArgument for an opaque value, bytes, or a dict's key that is neither str nor int,
// with its place; those of AtomicFile.
absl::Status WriteTorchFile(const std::string& path, const Value& root);

// Copies values, so that training may go on while a copy is written by another thread. The memory
// of a copy is used again for the next when nobody holds the copy any more: fresh memory would cost
// more than the copying. Not thread-safe.
class Snapshotter {
 public:
  // The same value with all tensors copied to the CPU, contiguous.
  Value Take(const Value& value);

 private:
  at::Tensor memory_;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_WRITER_H_
