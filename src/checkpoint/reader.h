#ifndef FINETUNE_CHECKPOINT_READER_H_
#define FINETUNE_CHECKPOINT_READER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/checkpoint/state_dict.h"
#include "src/checkpoint/value.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// ReadTorchFile and ReadStateDict recognize a file's format by its content, not by its name: a .pth
// of torch >= 1.6 (a ZIP file), an older .pth (a sequence of pickles, then storages), or a
// safetensors file. Its data must be little-endian.
//
// A checkpoint is hostile input. Nothing in it is imported or run: a call of a Python class or
// function that tensors and plain data do not need becomes an opaque value, which has only the
// name. So a checkpoint loads even if its meta data name classes of other projects, as OpenMMLab's
// do. Before memory is allocated, sizes are checked against the file's size. The checksums of a ZIP
// file are checked; the other formats have none. Reading takes time and memory linear in the file's
// size.
//
// Tensors are on the CPU, have the type that the file gives, and share a storage if they share it
// in the file. Errors name the file and the place in it: DataLoss for a damaged or truncated file,
// InvalidArgument for an unknown format.

// Reads the whole checkpoint. If `keys` is not empty, reads only these entries of its root dict and
// skips missing ones, so that meta data can be read without the tensors.
absl::StatusOr<Value> ReadTorchFile(const std::string& path,
                                    const std::vector<std::string>& keys = {});

// Checks that a checkpoint is plain data. Errors: InvalidArgument where `root`, or its entry
// "model" or a similar one, is an object of a Python class, as torch.save(model) writes it. Weights
// cannot be read from such a file.
absl::Status CheckPlain(const Value& root);

// Reads a state dict. `key` leads to it, also through nested entries ("a.b"). Without a key, reads
// the root, or the entry under which training programs store the weights that they train
// ("state_dict", "model", ..., also nested), or the only state dict of the file. `choice` decides
// where there is no key and the file has raw and averaged weights. If the file has other state
// dicts, a note names them. Nothing else of the file is loaded.
//
// The prefixes "module." and "_orig_mod.", from DistributedDataParallel and torch.compile, are
// removed from names. Entries named "_extra_state", which are not tensors, are left out. Other
// entries that are not plain tensors (sparse, quantized, sharded) are listed as unreadable.
//
// Errors: those of the file, and InvalidArgument where there is no state dict, where several are
// equally likely, where none is at `key`, for a whole model pickled as an object, and for
// TorchScript.
absl::StatusOr<StateDict> ReadStateDict(const std::string& path, const std::string& key = "",
                                        WeightsChoice choice = WeightsChoice::kUsual);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_READER_H_
