#ifndef FINETUNE_CHECKPOINT_SAFETENSORS_WRITER_H_
#define FINETUNE_CHECKPOINT_SAFETENSORS_WRITER_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Writes tensors as a safetensors file. The file appears whole or not at all (see AtomicFile).
// `metadata`: the entries of its __metadata__, besides "tensors_sha256", the SHA-256 of all bytes
// behind the header, which the function adds. Tensors are written contiguous, those of the largest
// elements first, so that each is aligned. Bytes of a string that are not UTF-8 become U+FFFD.
//
// Errors: InvalidArgument, with the name, for a tensor of a type that safetensors does not have,
// for a name that occurs twice or is "__metadata__"; those of AtomicFile.
absl::Status WriteSafetensors(const std::string& path, const TensorList& tensors,
                              const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_SAFETENSORS_WRITER_H_
