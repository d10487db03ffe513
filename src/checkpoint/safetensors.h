#ifndef FINETUNE_CHECKPOINT_SAFETENSORS_H_
#define FINETUNE_CHECKPOINT_SAFETENSORS_H_

#include "src/checkpoint/format.h"

namespace finetune {

// A safetensors file: eight bytes of length (little-endian), that much JSON {"name": {"dtype",
// "shape", "data_offsets"}, ...}, then the tensors' bytes with no gap and no overlap
// (https://github.com/huggingface/safetensors). Its tensors are in its header's order.
extern const CheckpointFormat kSafetensors;

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_SAFETENSORS_H_
