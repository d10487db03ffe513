#ifndef FINETUNE_BASE_VERSION_H_
#define FINETUNE_BASE_VERSION_H_

namespace finetune {

// The version of finetune and of prepare_dataset. `--version` prints it, and it goes into every
// file that outlives a program: checkpoints, records, manifests and reports. CHANGELOG.md says what
// changed from one to the next.
inline constexpr char kFinetuneVersion[] = "0.1.0";

}  // namespace finetune

#endif  // FINETUNE_BASE_VERSION_H_
