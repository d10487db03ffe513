#ifndef FINETUNE_CHECKPOINT_READER_H_
#define FINETUNE_CHECKPOINT_READER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/checkpoint/state_dict.h"
#include "src/checkpoint/value.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Both functions recognize a file's format by its content, not by its name: a .pth of torch >= 1.6
// (a ZIP file), an older .pth (a sequence of pickles, then storages), or a safetensors file. Each
// must be little-endian.
//
// A checkpoint is hostile input. Nothing of it is imported or run: a call of a Python class or
// function that tensors and plain data do not need becomes an opaque value, which has only the
// name. So a checkpoint loads even if its meta data name classes of other projects, as OpenMMLab's
// do. Sizes are bounded by the file's size before anything is allocated. Checksums are checked
// where the format has them (ZIP). Reading takes time and memory linear in the file's size.
//
// Tensors are on the CPU, have the type of the file, and share storage where they share it in the
// file. Errors name the file and the place in it: DataLoss for a damaged or truncated file,
// InvalidArgument for a file of another kind.

// Reads the whole checkpoint. With `keys`, reads only those entries of its root dict, where they
// exist, so that meta data can be read without the tensors.
absl::StatusOr<Value> ReadTorchFile(const std::string& path,
                                    const std::vector<std::string>& keys = {});

// Errors: InvalidArgument where `root`, or its entry "model" or the like, is an object of a Python
// class, as torch.save(model) writes it. Such a file has no weights that can be read.
absl::Status CheckPlain(const Value& root);

// Reads the state dict at `key`, which may lead into nested entries ("a.b"). Without a key, reads
// the root, or the entry, nested or not, under which training programs keep the weights they train
// ("state_dict", "model", ...), or the only state dict; a note then names the others. Nothing else
// of the file is loaded.
//
// "module." and "_orig_mod." at a name's start, from DistributedDataParallel and torch.compile, are
// removed. Entries named "_extra_state", which are not tensors, are left out. Other entries that
// are not plain tensors (sparse, quantized, sharded) are listed as unreadable.
//
// Errors, besides the file's: InvalidArgument where there is no state dict, where several are
// equally likely, or where none is at `key`; for a whole model pickled as an object; for
// TorchScript.
absl::StatusOr<StateDict> ReadStateDict(const std::string& path, const std::string& key = "");

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_READER_H_
