#ifndef FINETUNE_BASE_VERSION_H_
#define FINETUNE_BASE_VERSION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace finetune {

// The version of finetune and of prepare_dataset. `--version` prints it, and it goes into every
// file that outlives a program: checkpoints, records, manifests and reports. CHANGELOG.md says what
// changed from one to the next.
inline constexpr char kFinetuneVersion[] = "0.1.0";

// Names the program that writes a file. A file of finetune is known by the word before the space.
inline constexpr char kFinetuneWriter[] = "finetune 0.1.0";

// Such a file also has the number of its format, which rises where readers of before would misread
// it. A file without one is older, and is read with defaults. Checks that this program, which reads
// formats up to `known`, can read format `found`. `writer`: the program that wrote the file, ""
// where the file does not say. Errors: InvalidArgument, "is 2, written by finetune 0.3.0; ...", for
// the caller to name file and field before it.
absl::Status CheckFormatVersion(int64_t found, int64_t known, absl::string_view writer);

}  // namespace finetune

#endif  // FINETUNE_BASE_VERSION_H_
