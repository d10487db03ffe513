#ifndef FINETUNE_DATA_MANIFEST_H_
#define FINETUNE_DATA_MANIFEST_H_

#include <cstdint>
#include <string>

#include "src/base/status_macros.h"
#include "src/data/dataset.pb.h"

namespace finetune {

// The two values of format_version that ReadManifest() accepts: 1 for data sets that store images
// as pixels, 2 for data sets of encoded images.
inline constexpr int kRawFormatVersion = 1;
inline constexpr int kEncodedFormatVersion = 2;

// The name of the manifest's file in a data set's folder.
inline constexpr char kManifestFile[] = "manifest.pbtxt";

// Reads FOLDER/manifest.pbtxt and checks it, because the file may come from anywhere. The checks
// guarantee: the number of a split's images and the number of their bytes fit int64; the shards'
// names do not lead out of the folder; every channel has a mean and a positive std; and if the last
// line has a checksum, it is that of the lines above. Errors: NotFound with the command that writes
// a data set; InvalidArgument with file:line:column, the field and what was expected; DataLoss if
// the checksum is wrong.
absl::StatusOr<DatasetManifest> ReadManifest(const std::string& folder);

// Checks only a manifest's class names, height, width and channels, by the same rules as
// ReadManifest(). Errors: InvalidArgument with the field and what was expected.
absl::Status CheckImages(const DatasetManifest& manifest);

// Returns the split named `name`. Errors: NotFound, which lists the names of the splits.
absl::StatusOr<DatasetSplit> FindSplit(const DatasetManifest& manifest, const std::string& name);

// Returns the number of images in all shards of a split.
int64_t ImageCount(const DatasetSplit& split);

// Returns the number of bytes of one image in a data set that stores pixels: channels * height *
// width.
int64_t ImageBytes(const DatasetManifest& manifest);

// Returns the manifest in protobuf's text format.
std::string PrintManifest(const DatasetManifest& manifest);

// Returns the text that is written to disk as manifest.pbtxt: the manifest's text, then a comment
// line with this text's SHA-256. With this checksum ReadManifest() notices damage, for example to a
// mean or a class name. Programs that do not know the checksum read over the comment.
std::string SealManifest(const DatasetManifest& manifest);

// Returns the SHA-256 of PrintManifest(), in hexadecimal. The manifest contains every shard's
// checksum, so two ranks have the same digest only if they read the same data set.
std::string ManifestDigest(const DatasetManifest& manifest);

// Returns a digest, in hexadecimal, that identifies the content of one split: the SHA-256 of its
// shards' checksums and counts and of the manifest's class names, image size, encoding, mean and
// std. It depends on how the split is cut into shards. It does not depend on the data set's folder,
// name, source and other splits.
std::string SplitDigest(const DatasetManifest& manifest, const DatasetSplit& split);

}  // namespace finetune

#endif  // FINETUNE_DATA_MANIFEST_H_
