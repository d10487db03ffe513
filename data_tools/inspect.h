#ifndef FINETUNE_DATA_TOOLS_INSPECT_H_
#define FINETUNE_DATA_TOOLS_INSPECT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "src/base/status_macros.h"

namespace finetune {

// Returns a description of a data set in several lines: how images are stored, mean and std, the
// classes with their numbers of training images, the splits, and for encoded images their formats
// and sizes. If a shard cannot be read, its error replaces the description of its split. Errors:
// those of ReadManifest(); InvalidArgument if `folder` is a file.
absl::StatusOr<std::string> DescribeDataset(const std::string& folder);

// Reads every image of a data set, decodes it if it is stored encoded (on `threads` threads), and
// checks the SHA-256 of every shard. `progress`: called after each image with the number of images
// done and their total; if it returns false, the error Cancelled is returned. Returns the number of
// images. Errors: a single one that names everything that is wrong.
absl::StatusOr<int64_t> VerifyDataset(const std::string& folder, int threads,
                                      const std::function<bool(int64_t, int64_t)>& progress);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_INSPECT_H_
