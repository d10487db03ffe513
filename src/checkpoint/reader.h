#ifndef FINETUNE_CHECKPOINT_READER_H_
#define FINETUNE_CHECKPOINT_READER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/checkpoint/value.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Both functions take, by its content and whatever its name, a .pth of torch >= 1.6 (a ZIP file),
// an older .pth (a run of pickles, then storages), or a safetensors file, of a little-endian
// machine.
//
// A checkpoint is hostile input. Nothing of it is imported or run: a call of a Python class or
// function that tensors and plain data do not need becomes an opaque value, which knows the name
// and nothing else. So a checkpoint whose meta data name classes of other projects (OpenMMLab's do)
// loads, while one whose *state dict* holds such a value is refused with the name. Sizes are
// bounded by the file's before anything is allocated, checksums are checked where the format has
// them (ZIP), and reading takes time and memory linear in the file's size.
//
// Tensors are on the CPU, of the type the file has, and share storage where they share it in the
// file. Errors name the file, and the place in it.

// All of the checkpoint, or of its root dict only the entries `keys`, where they are there (so that
// meta data can be read without the tensors beside them).
absl::StatusOr<Value> ReadTorchFile(const std::string& path,
                                    const std::vector<std::string>& keys = {});

// The state dict: the root, or what it holds as "state_dict", "model" or "model_state_dict", nested
// or not. "module." at a name's start (DistributedDataParallel's) is taken off; entries named
// "_extra_state", which are no tensors, are left out. Nothing else of the file is loaded.
// Errors, besides the file's: InvalidArgument for anything in it that is no tensor, for a whole
// model pickled as an object, and for TorchScript.
absl::StatusOr<TensorList> ReadStateDict(const std::string& path);

// The state dict in a value that ReadTorchFile gave, by the same rules.
absl::StatusOr<TensorList> StateDictOf(const Value& root);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_READER_H_
