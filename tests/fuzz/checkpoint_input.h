#ifndef FINETUNE_TESTS_FUZZ_CHECKPOINT_INPUT_H_
#define FINETUNE_TESTS_FUZZ_CHECKPOINT_INPUT_H_

#include "absl/strings/string_view.h"

namespace finetune {

// Reads a checkpoint file with these bytes, whole and as a state dict. Expects that every element
// of each tensor lies in the tensor's storage.
void ReadCheckpoint(absl::string_view bytes);

}  // namespace finetune

#endif  // FINETUNE_TESTS_FUZZ_CHECKPOINT_INPUT_H_
