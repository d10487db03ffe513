#ifndef FINETUNE_CHECKPOINT_SAFETENSORS_H_
#define FINETUNE_CHECKPOINT_SAFETENSORS_H_

#include "src/checkpoint/format.h"

namespace finetune {

// The safetensors format (https://github.com/huggingface/safetensors). A file has the length of the
// header in eight bytes (little-endian), the header as JSON {"name": {"dtype", "shape",
// "data_offsets"}, ...}, and the bytes of the tensors without gaps or overlaps. Its only state dict
// is the root, with the tensors in the order of the header.
extern const CheckpointFormat kSafetensors;

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_SAFETENSORS_H_
