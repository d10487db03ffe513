#ifndef FINETUNE_BASE_VERSION_H_
#define FINETUNE_BASE_VERSION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace finetune {

// The version of finetune and of prepare_dataset. `--version` prints it, and every checkpoint,
// record, manifest and report contains it. CHANGELOG.md lists the changes of each version.
inline constexpr char kFinetuneVersion[] = "0.1.0";

// Names the program and version in each file that finetune writes. The word before the space marks
// the file as finetune's.
inline constexpr char kFinetuneWriter[] = "finetune 0.1.0";

// Returns whether a file's writer is a version of finetune.
bool IsOwnWriter(absl::string_view writer);

// Checks that this program, which reads a file's format up to version `known`, can read version
// `found`. A format's version rises when older programs would misread the new files. `found` is 0
// for a file without a version, which is older than the first one. `writer`: the program that wrote
// the file, "" where the file does not say. Errors: InvalidArgument, "is 2, written by finetune
// 0.3.0; ...". The caller puts the names of file and field before that text.
absl::Status CheckFormatVersion(int64_t found, int64_t known, absl::string_view writer);

}  // namespace finetune

#endif  // FINETUNE_BASE_VERSION_H_
