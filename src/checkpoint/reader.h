#ifndef FINETUNE_CHECKPOINT_READER_H_
#define FINETUNE_CHECKPOINT_READER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/checkpoint/state_dict.h"
#include "src/checkpoint/value.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Both functions tell a file's format by its content, not by its name: a .pth of torch >= 1.6 (a
// ZIP file), an older .pth (a run of pickles, then storages), or a safetensors file, each of a
// little-endian machine.
//
// A checkpoint is hostile input. Nothing of it is imported or run: a call of a Python class or
// function that tensors and plain data do not need becomes an opaque value, which knows the name
// and nothing else. So a checkpoint whose meta data name classes of other projects (OpenMMLab's do)
// loads. Sizes are bounded by the file's before anything is allocated, checksums are checked where
// the format has them (ZIP), and reading takes time and memory linear in the file's size.
//
// Tensors are on the CPU, of the type the file has, and share storage where they share it in the
// file. Errors name the file, and the place in it: DataLoss for a file that is damaged or cut off,
// InvalidArgument for one that is something else.

// All of the checkpoint, or of its root dict only the entries `keys`, where they are there (so that
// meta data can be read without the tensors beside them).
absl::StatusOr<Value> ReadTorchFile(const std::string& path,
                                    const std::vector<std::string>& keys = {});

// Errors: InvalidArgument where `root`, or what it has under "model" or the like, is an object of
// a Python class, as torch.save(model) writes it: no weights can be read out of it.
absl::Status CheckPlain(const Value& root);

// The state dict at `key`, which may lead into entries of entries ("a.b"). Without a key: the root,
// or the entry under which training programs keep the weights they train ("state_dict", "model",
// ...), nested or not, or the only one there is; a note then names the others. Nothing else of the
// file is loaded.
//
// "module." and "_orig_mod." at a name's start (DistributedDataParallel's and torch.compile's) are
// taken off; entries named "_extra_state", which are not tensors, are left out. Other entries that
// are not plain tensors (sparse, quantised, sharded) are listed as unreadable.
//
// Errors, besides the file's: InvalidArgument where there is no state dict, several that are
// equally likely, or none at `key`; for a whole model pickled as an object; for TorchScript.
absl::StatusOr<StateDict> ReadStateDict(const std::string& path, const std::string& key = "");

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_READER_H_
