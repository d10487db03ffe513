#ifndef FINETUNE_BASE_OUTPUT_FILE_H_
#define FINETUNE_BASE_OUTPUT_FILE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace finetune {

// A file that a flag names, for a command to write.
struct OutputFile {
  std::string flag;  // "--out"
  std::string path;  // empty: the flag is not given
};

// Checks before any work that a command may write all of `outputs`: each one lies in a folder in
// which a file can be created, no two are the same file, and none exists already. A file that
// exists may be anybody's, because the formats that users ask for (CSV, NumPy's, JSON) cannot say
// who wrote them. Leaves no file behind.
//
// `force`: the value of --force, with which existing files are replaced. `inputs`: the files that
// the command reads, such as its checkpoint. An output that is one of them is refused with --force
// too. Errors start with the flag: AlreadyExists for a file that exists; InvalidArgument for a
// folder, a device or a pipe, for a folder that does not exist, for an input, and for two outputs
// that are the same file; those of AtomicFile::Create().
absl::Status CheckOutputs(const std::vector<OutputFile>& outputs, bool force,
                          const std::vector<std::string>& inputs = {});

}  // namespace finetune

#endif  // FINETUNE_BASE_OUTPUT_FILE_H_
