#ifndef FINETUNE_CHECKPOINT_SAFETENSORS_H_
#define FINETUNE_CHECKPOINT_SAFETENSORS_H_

#include "absl/status/statusor.h"
#include "src/checkpoint/input_file.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// The tensors of a safetensors file, in its header's order. The format: eight bytes of length
// (little-endian), that much JSON {"name": {"dtype", "shape", "data_offsets"}, ...}, then the
// tensors' bytes with no gap and no overlap (https://github.com/huggingface/safetensors).
absl::StatusOr<TensorList> ReadSafetensors(const InputFile& file);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_SAFETENSORS_H_
