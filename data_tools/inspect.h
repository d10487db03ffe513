#ifndef FINETUNE_DATA_TOOLS_INSPECT_H_
#define FINETUNE_DATA_TOOLS_INSPECT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "src/base/status_macros.h"

namespace finetune {

// Says what a data set holds, in lines: how pictures are stored, mean and std, classes with their
// training pictures, splits, and of encoded pictures their kinds and sizes. A shard that cannot be
// read is named in place of what it would tell. Errors: those of ReadManifest; InvalidArgument for
// a file.
absl::StatusOr<std::string> DescribeDataset(const std::string& folder);

// Reads every picture, decodes those that are stored encoded, and checks every file's SHA-256, on
// `threads` threads. `progress`: called with pictures done and their total; a false answer cancels.
// Returns the number of pictures. Errors: one that names everything that is wrong.
absl::StatusOr<int64_t> VerifyDataset(const std::string& folder, int threads,
                                      const std::function<bool(int64_t, int64_t)>& progress);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_INSPECT_H_
