#ifndef FINETUNE_CHECKPOINT_READER_H_
#define FINETUNE_CHECKPOINT_READER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "src/checkpoint/state_dict.h"
#include "src/checkpoint/value.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// ReadTorchFile() and ReadStateDict() read three formats: a .pth of PyTorch since 1.6 (a ZIP file),
// an older .pth (a sequence of pickles, then storages), and safetensors. They recognize the format
// by the file's content, not by its name. Data must be little-endian.
//
// A checkpoint is hostile input. No Python code that it names is imported or run: an object of a
// Python class that is not needed for tensors and plain data becomes an opaque value, of which only
// the class's name is known. So a checkpoint can be read even if its meta data contain objects of
// other projects' classes, as OpenMMLab's do. Sizes are compared with the file's size before memory
// is allocated. The CRC-32 sums of a ZIP file are checked, and the SHA-256 of a safetensors file
// that finetune wrote; other files have no checksums. Reading takes time and memory linear in the
// file's size.
//
// Tensors are on the CPU and have the type that the file gives. Tensors that share a storage in the
// file share it in memory. Errors name the file and the place in it: DataLoss for a damaged or
// truncated file, InvalidArgument for an unknown format.

// Reads the whole checkpoint. If `keys` is not empty, reads only these entries of the root dict and
// leaves out missing ones. So meta data can be read without the tensors.
absl::StatusOr<Value> ReadTorchFile(const std::string& path,
                                    const std::vector<std::string>& keys = {});

// Returns the entry "meta" of a checkpoint; none if the file has no such entry. Errors: those of
// ReadTorchFile().
absl::StatusOr<Value> ReadMeta(const std::string& path);

// Checks that a checkpoint is not a whole model that was pickled as an object, as torch.save(model)
// does: weights cannot be read from such a file. Errors: InvalidArgument if `root`, or its entry
// "model" or a similar one (kUsualKeys), is an object of a Python class.
absl::Status CheckPlain(const Value& root);

// Reads a state dict. `key` leads to it, also through nested entries ("a.b"). Without a key, reads
// the root, or the entry under which training programs store the weights that they train
// ("state_dict", "model", ..., also nested), or the only state dict of the file. `choice` decides
// where there is no key and the file has raw and averaged weights. If the file has other state
// dicts, a note names them. Nothing else of the file is loaded.
//
// The prefixes "module." and "_orig_mod.", which DistributedDataParallel and torch.compile add, are
// removed from the tensors' names. Entries named "_extra_state" that are not tensors are left out.
// Other entries that are not plain tensors (such as sparse, quantized or sharded ones) are listed
// in StateDict::unreadable.
//
// Errors: those of reading the file; InvalidArgument if there is no state dict, if several are
// equally likely, if none is at `key`, for a whole model pickled as an object, and for TorchScript.
absl::StatusOr<StateDict> ReadStateDict(const std::string& path, const std::string& key = "",
                                        WeightsChoice choice = WeightsChoice::kUsual);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_READER_H_
