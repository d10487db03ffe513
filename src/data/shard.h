#ifndef FINETUNE_DATA_SHARD_H_
#define FINETUNE_DATA_SHARD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "src/base/status_macros.h"
#include "src/data/dataset.pb.h"

namespace finetune {

// One HDF5 file of a data set, in memory: `images` uint8 [count, height, width, channels] and
// `labels` int64 [count], chunked by pictures, each chunk with its Fletcher-32 sum.
struct Shard {
  std::vector<uint8_t> images;
  std::vector<int64_t> labels;
};

// Pictures of a shard's chunk: reads of one picture touch no more than this many.
inline constexpr int64_t kShardChunk = 64;

// Writes the pictures to `path` (which is made anew, and is not whole until this returns). Errors:
// DataLoss with HDF5's reason, ResourceExhausted where the disk is full.
absl::Status WriteShard(const std::string& path, absl::Span<const uint8_t> images,
                        absl::Span<const int64_t> labels, int height, int width, int channels);

// Reads a shard and checks it against the manifest: counts, shapes, labels below the number of
// classes, and by Fletcher-32 every chunk. Errors: DataLoss that names the file and what is wrong
// with it; NotFound.
absl::StatusOr<Shard> ReadShard(const std::string& folder, const DatasetShard& entry,
                                const DatasetManifest& manifest);

}  // namespace finetune

#endif  // FINETUNE_DATA_SHARD_H_
