#ifndef FINETUNE_CHECKPOINT_SAFETENSORS_H_
#define FINETUNE_CHECKPOINT_SAFETENSORS_H_

#include "src/checkpoint/format.h"

namespace finetune {

// A safetensors file (https://github.com/huggingface/safetensors): the length of the header in
// eight bytes (little-endian), the header as JSON {"name": {"dtype", "shape", "data_offsets"},
// ...}, then the tensors' bytes without gaps and overlaps. Tensors are returned in the header's
// order.
extern const CheckpointFormat kSafetensors;

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_SAFETENSORS_H_
