#ifndef FINETUNE_CHECKPOINT_SAFETENSORS_H_
#define FINETUNE_CHECKPOINT_SAFETENSORS_H_

#include "src/checkpoint/format.h"

namespace finetune {

// The safetensors format (https://github.com/huggingface/safetensors). A file has the length of the
// header in eight bytes (little-endian), the header as JSON {"name": {"dtype", "shape",
// "data_offsets"}, ...}, and the bytes of the tensors without gaps or overlaps. Its only state dict
// is the root, with the tensors in the order of the header. A file that finetune wrote reads as the
// .pth that finetune would have written: its root has "meta", made of the header's __metadata__
// (see own_metadata.h), and "state_dict". Its tensors are checked against the SHA-256 in
// __metadata__.
extern const CheckpointFormat kSafetensors;

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_SAFETENSORS_H_
