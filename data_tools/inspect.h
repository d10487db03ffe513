#ifndef FINETUNE_DATA_TOOLS_INSPECT_H_
#define FINETUNE_DATA_TOOLS_INSPECT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "src/base/status_macros.h"

namespace finetune {

// Returns a description of a data set in several lines: how images are stored, mean and std, the
// classes with their numbers of training images, the splits, and for encoded images their kinds
// and sizes. If a shard cannot be read, its error replaces the description of its split. Errors:
// those of ReadManifest; InvalidArgument where `folder` is a file.
absl::StatusOr<std::string> DescribeDataset(const std::string& folder);

// Reads every image, decodes those that are stored encoded, and checks every file's SHA-256, on
// `threads` threads. `progress`: called with the number of images done and their total; if it
// returns false, the call is cancelled. Returns the number of images. Errors: one that names
// everything that is wrong.
absl::StatusOr<int64_t> VerifyDataset(const std::string& folder, int threads,
                                      const std::function<bool(int64_t, int64_t)>& progress);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_INSPECT_H_
