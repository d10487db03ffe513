#ifndef FINETUNE_CHECKPOINT_TORCH_FILE_H_
#define FINETUNE_CHECKPOINT_TORCH_FILE_H_

#include "src/checkpoint/format.h"

namespace finetune {

// The two formats of torch.save. kTorchZip, since PyTorch 1.6, is a ZIP file with a pickle
// (data.pkl) and an entry for each storage. kTorchLegacy, before 1.6, is a sequence of pickles,
// then the storages.
extern const CheckpointFormat kTorchZip;
extern const CheckpointFormat kTorchLegacy;

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_TORCH_FILE_H_
