#ifndef FINETUNE_DATA_MANIFEST_H_
#define FINETUNE_DATA_MANIFEST_H_

#include <cstdint>
#include <string>

#include "src/base/status_macros.h"
#include "src/data/dataset.pb.h"

namespace finetune {

// The versions that ReadManifest accepts: of data sets that store pixels, and encoded pictures.
inline constexpr int kRawFormatVersion = 1;
inline constexpr int kEncodedFormatVersion = 2;

// The manifest's name in a data set's folder.
inline constexpr char kManifestFile[] = "manifest.pbtxt";

// Reads and checks FOLDER/manifest.pbtxt, which may come from anywhere: afterwards sizes are
// bounded (a split's pictures and their bytes fit int64), shard names do not lead out of the
// folder, every channel has a mean and a positive std, and the last line's checksum, where there is
// one, is that of the lines above. Errors: NotFound with the command that writes one;
// InvalidArgument with file:line:column, the field and what was expected; DataLoss with the file
// for another checksum.
absl::StatusOr<DatasetManifest> ReadManifest(const std::string& folder);

// Whether what a manifest says about its classes and the pictures' size and channels is what
// ReadManifest takes. Errors: InvalidArgument with the field and what was expected.
absl::Status CheckPictures(const DatasetManifest& manifest);

// The split of that name. Errors: NotFound with the names that there are.
absl::StatusOr<DatasetSplit> FindSplit(const DatasetManifest& manifest, const std::string& name);

// Pictures in all of a split's shards.
int64_t PictureCount(const DatasetSplit& split);

// Bytes of one picture of a data set that stores pixels: channels * height * width.
int64_t PictureBytes(const DatasetManifest& manifest);

// The manifest in text format.
std::string PrintManifest(const DatasetManifest& manifest);

// The manifest as it is written to disk: in text format, then a comment with the SHA-256 of it, so
// that a damaged mean or class name is found. Programs that do not know the comment read the rest.
std::string SealManifest(const DatasetManifest& manifest);

// SHA-256 of what the manifest says, in hexadecimal: equal on two ranks just when they read the
// same data set, for it covers every shard's checksum.
std::string ManifestDigest(const DatasetManifest& manifest);

// SHA-256 of one split's pictures, labels, class names, mean and std, in hexadecimal. The folder,
// the name, the source and other splits of the data set do not count. The number of shards does.
std::string SplitDigest(const DatasetManifest& manifest, const DatasetSplit& split);

}  // namespace finetune

#endif  // FINETUNE_DATA_MANIFEST_H_
