#ifndef FINETUNE_DATA_SHARD_HDF5_H_
#define FINETUNE_DATA_SHARD_HDF5_H_

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/data/hdf5_handle.h"

namespace finetune {

// How both kinds of shards use HDF5. All of these are called under an Hdf5Lock. Errors:
// ResourceExhausted where the disk is full, else DataLoss that names the file.

// A chunk is checked as a whole when one of its pictures is first read, and found through an index
// whose size is the number of chunks.
inline constexpr int64_t kChunkBytes = 256 << 10;

// Makes an empty file in the format of HDF5 1.10, whose own structures carry checksums. No times
// are in it, so that the same pictures make the same bytes: their checksum is their identity.
absl::StatusOr<Hdf5Handle> CreateShardFile(const std::string& path);

// Creates a data set of the file, in chunks of `chunk_length` along the first dimension, each with
// its Fletcher-32 sum.
absl::StatusOr<Hdf5Handle> CreateDataset(const std::string& path, hid_t file, const char* name,
                                         hid_t type, const std::vector<hsize_t>& shape,
                                         hsize_t chunk_length);

// Writes rows [begin, begin + rows[0]) along the first dimension. `type`: of the values in memory.
absl::Status WriteRows(const std::string& path, const Hdf5Handle& dataset, const char* name,
                       hid_t type, int64_t begin, const std::vector<hsize_t>& rows,
                       const void* values);

// Creates a data set of bytes that grows, in plain chunks of `chunk_bytes` without a filter.
absl::StatusOr<Hdf5Handle> CreatePlainBytes(const std::string& path, hid_t file, const char* name,
                                            int64_t chunk_bytes);

// Appends a chunk to such a data set, which has `written` bytes, a multiple of a chunk's. `chunk`:
// `chunk_bytes`, of which `size` count; fewer than all may be the last.
absl::Status AppendChunk(const std::string& path, const Hdf5Handle& dataset, const char* name,
                         int64_t written, const char* chunk, int64_t chunk_bytes, int64_t size);

absl::StatusOr<Hdf5Handle> OpenShardFile(const std::string& path);

// A data set of a shard.
struct OpenDataset {
  Hdf5Handle dataset;
  // Elements of the first dimension in a chunk.
  int64_t chunk_length = 0;
};

// Opens a data set that must be of this type and shape, and stored as CreateDataset() does.
absl::StatusOr<OpenDataset> OpenChecked(const std::string& path, hid_t file, const char* name,
                                        hid_t type, const std::vector<hsize_t>& shape);

// Opens a data set of bytes, which must have one dimension and be stored in plain chunks without a
// filter. `size`: how many bytes it has.
absl::StatusOr<OpenDataset> OpenPlainBytes(const std::string& path, hid_t file, const char* name,
                                           int64_t* size);

// Reads all of a data set that OpenChecked() has opened, `count` rows of at most two dimensions.
// HDF5 takes a chunk that was never written for one of zeros; here it is an error, which calls the
// rows `row`. `values`: of the type `type`.
absl::Status ReadAll(const std::string& path, const OpenDataset& open, const char* name,
                     const char* row, hid_t type, int64_t count, void* values);

// Reads the labels of a shard of `count` pictures, each of them below `classes`.
absl::StatusOr<std::vector<int64_t>> ReadLabels(const std::string& path, const OpenDataset& open,
                                                int64_t count, int classes);

// Returns where in the file each chunk of a data set of `length` rows lies. A chunk has
// `chunk_bytes` in the file, which has `file_size`.
absl::StatusOr<std::vector<int64_t>> FindChunks(const std::string& path, const OpenDataset& open,
                                                const char* row, int64_t length,
                                                int64_t chunk_bytes, int64_t file_size);

}  // namespace finetune

#endif  // FINETUNE_DATA_SHARD_HDF5_H_
