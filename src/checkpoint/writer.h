#ifndef FINETUNE_CHECKPOINT_WRITER_H_
#define FINETUNE_CHECKPOINT_WRITER_H_

#include <string>

#include "absl/status/status.h"
#include "src/checkpoint/value.h"

namespace finetune {

// Writes `root` as a .pth (a ZIP file) that Python's torch.load(path, weights_only=True) can read.
// The file appears whole or not at all (see AtomicFile). A dict with only tensors becomes an
// OrderedDict, which is the type of PyTorch's state dicts. Bytes of a string that are not UTF-8
// become U+FFFD.
//
// Tensors are written from the CPU, contiguous and row by row. Other tensors are copied first, one
// at a time. Tensors with the same memory are written once. The tensors of `root` must not change
// during the call. To train meanwhile, pass a copy made by a Snapshotter and write it from another
// thread.
//
// Errors: InvalidArgument that names the place in `root`, for an opaque value, bytes, or a dict's
// key that is neither str nor int; those of AtomicFile.
absl::Status WriteTorchFile(const std::string& path, const Value& root);

// Copies values, so that training may continue while another thread writes a copy. When a copy is
// no longer referenced, the next copy reuses its memory, because allocating new memory would take
// longer than the copying. Not thread-safe.
class Snapshotter {
 public:
  // Returns the same value with all tensors copied to the CPU, contiguous.
  Value Take(const Value& value);

 private:
  at::Tensor memory_;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_WRITER_H_
