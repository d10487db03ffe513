#ifndef FINETUNE_TESTS_FUZZ_CHECKPOINT_INPUT_H_
#define FINETUNE_TESTS_FUZZ_CHECKPOINT_INPUT_H_

#include "absl/strings/string_view.h"

namespace finetune {

// Writes `bytes` to a file and reads it as a checkpoint: the whole file, only its meta, and as a
// state dict. Expects that every element of each tensor lies in the tensor's storage.
void ReadCheckpoint(absl::string_view bytes);

}  // namespace finetune

#endif  // FINETUNE_TESTS_FUZZ_CHECKPOINT_INPUT_H_
