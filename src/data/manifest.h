#ifndef FINETUNE_DATA_MANIFEST_H_
#define FINETUNE_DATA_MANIFEST_H_

#include <cstdint>
#include <string>

#include "src/base/status_macros.h"
#include "src/data/dataset.pb.h"

namespace finetune {

// Reads and checks FOLDER/manifest.pbtxt. Errors: NotFound with the command that writes one;
// InvalidArgument with file:line:column or the field that is wrong.
absl::StatusOr<DatasetManifest> ReadManifest(const std::string& folder);

// The split of that name. Errors: NotFound with the names that there are.
absl::StatusOr<DatasetSplit> FindSplit(const DatasetManifest& manifest, const std::string& name);

// Pictures in all of a split's shards.
int64_t PictureCount(const DatasetSplit& split);

// Bytes of one picture: channels * height * width.
int64_t PictureBytes(const DatasetManifest& manifest);

// The manifest as text format, as it is written to disk.
std::string PrintManifest(const DatasetManifest& manifest);

}  // namespace finetune

#endif  // FINETUNE_DATA_MANIFEST_H_
