#ifndef FINETUNE_CHECKPOINT_OWN_CHECKPOINT_H_
#define FINETUNE_CHECKPOINT_OWN_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "src/checkpoint/value.h"

namespace finetune {

// These functions tell finetune's own checkpoints from those of other trainers, which use the same
// file names. In finetune's checkpoints the first entry of the root dict is "meta", and the first
// entry of "meta" is "writer", a string that begins with "finetune ". So WriteTorchFile() writes
// that string near the beginning of the file, and it is found even if the rest of the file is
// damaged.

// The version of the format that finetune writes, meta.format_version. A change that older programs
// would misread needs a new number. Programs before 0.1.0 did not write this entry, and their
// writer was "finetune 1".
inline constexpr int64_t kCheckpointFormatVersion = 1;

// Appends "writer" and "format_version" to `meta`, which must be empty because they must come
// first.
void AppendWriter(Value::Dict* meta);

// Checks that the root dict of a checkpoint begins with meta.writer as described above. Errors:
// InvalidArgument if it does not.
absl::Status CheckNamesWriter(const Value& root);

// Returns whether the "meta" dict of a checkpoint says that finetune wrote it.
bool NamesOwnWriter(const Value& meta);

// Returns whether the "meta" dict is that of a file of `finetune export`, which has the weights of
// a run but neither its optimizer nor its progress.
bool IsExported(const Value& meta);

// Says why a run cannot resume from a file of `finetune export`. A sentence without its end.
inline constexpr char kCannotResumeExported[] =
    "it is a file of `finetune export`, which holds weights alone, without the optimizer and the "
    "progress of their run: resume from the run's own checkpoint, such as latest.pth in its "
    "work_dir";

// Checks that this version of finetune can read a checkpoint with this "meta" dict. A checkpoint of
// another trainer is OK. Errors: InvalidArgument, with both versions, for a newer format.
absl::Status CheckCheckpointVersion(const Value& meta);

// Returns whether finetune wrote the file, which its first 1024 bytes tell. True also for a file
// without content (it is empty, or these bytes are all zero, as after a crash of the host):
// replacing it loses nothing. False for a folder, a socket, and a link to nothing. Errors: those of
// SystemError() if the file cannot be read.
absl::StatusOr<bool> IsOwnCheckpoint(const std::string& path);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_OWN_CHECKPOINT_H_
