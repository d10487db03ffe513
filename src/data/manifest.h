#ifndef FINETUNE_DATA_MANIFEST_H_
#define FINETUNE_DATA_MANIFEST_H_

#include <cstdint>
#include <string>

#include "src/base/status_macros.h"
#include "src/data/dataset.pb.h"

namespace finetune {

// The format versions that ReadManifest accepts: 1 for data sets that store pixels, 2 for encoded
// images.
inline constexpr int kRawFormatVersion = 1;
inline constexpr int kEncodedFormatVersion = 2;

// The name of the manifest's file in a data set's folder.
inline constexpr char kManifestFile[] = "manifest.pbtxt";

// Reads and checks FOLDER/manifest.pbtxt, which may come from anywhere. After the check, sizes are
// bounded (a split's number of images and their bytes fit int64), shard names do not lead out of
// the folder, every channel has a mean and a positive std, and the checksum in the last line, where
// there is one, is that of the lines above. Errors: NotFound with the command that writes a data
// set; InvalidArgument with file:line:column, the field and what was expected; DataLoss with the
// file where the checksum is another.
absl::StatusOr<DatasetManifest> ReadManifest(const std::string& folder);

// Checks a manifest's classes, height, width and channels as ReadManifest does. Errors:
// InvalidArgument with the field and what was expected.
absl::Status CheckImages(const DatasetManifest& manifest);

// Returns the split named `name`. Errors: NotFound with the names of the splits.
absl::StatusOr<DatasetSplit> FindSplit(const DatasetManifest& manifest, const std::string& name);

// Returns the number of images in all shards of a split.
int64_t ImageCount(const DatasetSplit& split);

// Returns the bytes of one image of a data set that stores pixels: channels * height * width.
int64_t ImageBytes(const DatasetManifest& manifest);

// Returns the manifest in protobuf's text format.
std::string PrintManifest(const DatasetManifest& manifest);

// Returns the manifest as it is written to disk: its text, then a comment with the text's SHA-256,
// by which a damaged mean or class name is found. A program that does not know the comment reads
// the rest.
std::string SealManifest(const DatasetManifest& manifest);

// Returns the SHA-256 of the manifest's text, in hexadecimal. The text contains every shard's
// checksum, so the digests of two ranks are equal exactly where both read the same data set.
std::string ManifestDigest(const DatasetManifest& manifest);

// Returns the SHA-256 of one split's images, labels, class names, mean and std, in hexadecimal.
// The digest depends on the number of shards. It does not depend on the folder, the name, the
// source and the other splits of the data set.
std::string SplitDigest(const DatasetManifest& manifest, const DatasetSplit& split);

}  // namespace finetune

#endif  // FINETUNE_DATA_MANIFEST_H_
