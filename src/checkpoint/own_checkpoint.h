#ifndef FINETUNE_CHECKPOINT_OWN_CHECKPOINT_H_
#define FINETUNE_CHECKPOINT_OWN_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "src/checkpoint/value.h"

namespace finetune {

// Tells finetune's own checkpoints from those of other trainers, which use the same file names. The
// first entry of the root is "meta", and the first entry of "meta" is "writer", a string that
// begins with "finetune ". WriteTorchFile() puts that string into the first bytes of the file,
// where it is found even if the rest of the file is damaged.

// The number of the format that finetune writes, meta.format_version. It rises where readers of
// before would misread a checkpoint. Before 0.1.0 there was no such entry, and the writer was
// "finetune 1".
inline constexpr int64_t kCheckpointFormatVersion = 1;

// Appends the writer and the format, which `meta` must begin with.
void AppendWriter(Value::Dict* meta);

// Errors: InvalidArgument for a root that could not be told from another trainer's.
absl::Status CheckNamesWriter(const Value& root);

// Returns whether a checkpoint's `meta` says that finetune wrote it.
bool NamesOwnWriter(const Value& meta);

// Checks that this finetune can read the checkpoint whose `meta` this is; other trainers' pass.
// Errors: InvalidArgument, with both versions, for a newer format.
absl::Status CheckCheckpointVersion(const Value& meta);

// Whether the first bytes of the file name finetune as its writer. A file that holds nothing (of
// no bytes, or whose first bytes are all zero, as a crash of the host can leave it) counts as
// finetune's: replacing it loses nothing. False for a folder, a socket and a link that leads
// nowhere. Errors: those of SystemError for a file that cannot be read.
absl::StatusOr<bool> IsOwnCheckpoint(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_OWN_CHECKPOINT_H_
